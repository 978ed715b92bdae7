//go:build unix

package p2p_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"cairn/p2p"
	"cairn/share"
)

// child is a host in a process of its own.
type child struct {
	id      share.ServerID
	process *os.Process
}

func startChild(t *testing.T, bootstrap string) child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+bootstrap)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGCONT)
		stdin.Close()
		cmd.Wait()
	})
	id, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return child{id: share.ServerID(strings.TrimSpace(id)), process: cmd.Process}
}

func (c child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestHungPeer stops a peer's process without closing its connections.
func TestHungPeer(t *testing.T) {
	hasty := func(c *p2p.Config) { c.HelloEvery, c.AnswerWithin = time.Second, 500*time.Millisecond }
	// Left to itself a would notice nothing.
	a := open(t, func(c *p2p.Config) { hasty(c); c.HelloEvery = time.Hour })
	a.Handle("echo/1", echo)
	b := open(t, func(c *p2p.Config) { hasty(c); c.Bootstrap = a.Addresses() })
	hung := startChild(t, a.Addresses()[0])
	eventually(t, 10*time.Second, "all met", func() bool { return responsive(a) == 2 && responsive(b) == 2 })
	events, cancel := a.Subscribe()
	defer cancel()

	hung.signal(t, syscall.SIGSTOP)
	a.Suspect(hung.id)
	e := awaitEvent(t, events, p2p.Unresponsive, 10*time.Second) // half a second, but for a busy machine
	if e.Peer.ID != hung.id || e.Peer.Path != p2p.Direct {
		t.Errorf("event %+v, want that the stopped peer is unresponsive but connected", e)
	}
	// The early hellos of a new connection are up to four seconds apart.
	eventually(t, 8*time.Second, "b noticed by itself", func() bool { return responsive(b) == 1 })

	// The hung peer delays neither itself for long nor the others at all.
	begin := time.Now()
	if s, err := b.Stream(t.Context(), hung.id, "hello/1"); err == nil {
		s.Reset()
	}
	if took := time.Since(begin); took > 6*time.Second {
		t.Errorf("opening a stream to a hung peer took %v", took)
	}
	begin = time.Now()
	s, err := b.Stream(t.Context(), a.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	s.Reset()
	late := open(t, func(c *p2p.Config) { hasty(c); c.Bootstrap = b.Addresses() })
	eventually(t, 5*time.Second, "a newcomer meets the others", func() bool { return responsive(late) == 2 })
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("the others were delayed by %v", took)
	}

	hung.signal(t, syscall.SIGCONT)
	begin = time.Now()
	eventually(t, 5*time.Second, "it answers again", func() bool { return responsive(a) == 3 && responsive(b) == 3 })
	t.Logf("responsive again after %v", time.Since(begin))
	awaitEvent(t, events, p2p.Responsive, 5*time.Second)
}
