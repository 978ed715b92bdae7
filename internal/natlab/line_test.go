//go:build linux

package natlab_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/internal/natlab"
)

// TestLine: what goes between two machines of a line takes the line's time, arrives whole, and is slowed by the line's rate.
func TestLine(t *testing.T) {
	t.Parallel()
	line := natlab.Line{Delay: 50 * time.Millisecond, Rate: 8e6, Congestion: "reno"}
	a, b := natlab.New(t).Line(line)
	const size = 500_000
	took, congestion := raw(t, a, b, size)
	// The handshake takes a round trip, the last byte and the answer to it another one.
	if least := 4*line.Delay + size*8*time.Second/time.Duration(line.Rate); took < least {
		t.Errorf("%d bytes took %v over a line that takes at least %v", size, took, least)
	}
	if congestion != line.Congestion {
		t.Errorf("the congestion control is %s, want %s", congestion, line.Congestion)
	}
}

// raw sends so many bytes from one machine to another over one TCP connection, and returns how long it took until the sender knew that
// all had arrived, connecting included, and which congestion control sent them.
func raw(t testing.TB, from, to *natlab.Machine, size int64) (took time.Duration, congestion string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), transferLimit)
	defer cancel()
	listener, err := to.Listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan error, 1)
	go func() { received <- receive(listener, size) }()
	begin := time.Now()
	conn, err := from.Dial(ctx, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := io.CopyN(conn, rand.Reader, size); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	took = time.Since(begin)
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	return took, congestionOf(t, conn)
}

// receive takes so many bytes from one connection and answers with a byte.
func receive(listener net.Listener, size int64) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if n, err := io.CopyN(io.Discard, conn, size); err != nil {
		return fmt.Errorf("%d of %d bytes arrived: %w", n, size, err)
	}
	_, err = conn.Write([]byte{1})
	return err
}

func congestionOf(t testing.TB, conn *net.TCPConn) (name string) {
	t.Helper()
	socket, err := conn.SyscallConn()
	if err == nil {
		control := socket.Control(func(fd uintptr) { name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
		if control != nil {
			err = control
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
