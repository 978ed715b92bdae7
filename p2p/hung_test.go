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

	"cairn/internal/waittest"
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
	hasty := func(c *p2p.Config) {
		c.HelloEvery, c.AnswerWithin, c.DialTimeout = time.Second, 500*time.Millisecond, p2p.DefaultDialTimeout
	}
	// Left to itself a would notice nothing.
	a := open(t, func(c *p2p.Config) { hasty(c); c.HelloEvery = time.Hour })
	a.Handle("echo/1", echo)
	b := open(t, func(c *p2p.Config) { hasty(c); c.Bootstrap = a.Addresses() })
	hung := startChild(t, a.Addresses()[0])
	eventually(t, "all met", func() bool { return responsive(a) == 2 && responsive(b) == 2 })
	events, cancel := a.Subscribe()
	defer cancel()

	hung.signal(t, syscall.SIGSTOP)
	a.Suspect(hung.id)
	e := awaitEvent(t, events, p2p.Unresponsive)
	for e.Peer.ID != hung.id { // after this machine stood still, everybody seems silent for a moment
		e = awaitEvent(t, events, p2p.Unresponsive)
	}
	if e.Peer.Path != p2p.Direct {
		t.Errorf("event %+v, want that the stopped peer is unresponsive but connected", e)
	}
	// The early hellos of a new connection are up to four seconds apart.
	eventually(t, "b noticed by itself", func() bool { return responsive(b) == 1 })

	// The hung peer delays neither itself for long nor the others at all.
	took := waittest.Took(func() {
		if s, err := b.Stream(t.Context(), hung.id, "hello/1"); err == nil {
			s.Reset()
		}
	})
	if took > 6*time.Second {
		t.Errorf("opening a stream to a hung peer took %v", took)
	}
	meet := func() {
		eventually(t, "a stream opens", func() bool {
			s, err := b.Stream(t.Context(), a.ID(), "echo/1")
			if err == nil {
				s.Reset()
			}
			return err == nil
		})
		late := open(t, func(c *p2p.Config) { hasty(c); c.Bootstrap = b.Addresses() })
		eventually(t, "a newcomer meets the others", func() bool {
			p, _ := late.Peer(a.ID())
			q, _ := late.Peer(b.ID())
			return p.Responsive && q.Responsive
		})
	}
	// What the hung peer delays, it delays each time; a machine that stands still does not.
	tries, took := 1, waittest.Took(meet)
	for ; took > 3*time.Second && tries < 5; tries++ {
		took = waittest.Took(meet)
	}
	if took > 3*time.Second {
		t.Errorf("the others were delayed by %v, and %d times before", took, tries-1)
	}

	hung.signal(t, syscall.SIGCONT)
	took = eventually(t, "it answers again", func() bool { return responsive(a) == 2+tries && responsive(b) == 2+tries })
	t.Logf("responsive again after %v", took)
	awaitEvent(t, events, p2p.Responsive)
}
