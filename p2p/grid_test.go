package p2p_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
)

// refusing is a gate with a list of who is out.
type refusing struct {
	mu  sync.Mutex
	out map[share.ServerID]error
}

func (g *refusing) Admit(id share.ServerID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out[id]
}

func (g *refusing) refuse(id share.ServerID, reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out = map[share.ServerID]error{id: reason}
}

// awaitEvent returns the next event with the change.
func awaitEvent(t *testing.T, events <-chan p2p.Event, change p2p.Change) p2p.Event {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	waited := 0
	for {
		select {
		case e, open := <-events:
			if !open {
				t.Fatalf("events ended before %q", change)
			}
			if e.Change == change {
				return e
			}
		case <-tick.C:
			if waited++; waited > int(waittest.Patience/time.Second) {
				t.Fatalf("no event %q within %v", change, waittest.Patience)
			}
		}
	}
}

func TestGateRefusesEveryProtocol(t *testing.T) {
	gate := &refusing{}
	a := open(t, func(c *p2p.Config) { c.Gate = gate })
	a.Handle("echo/1", echo)
	a.Handle("write/1", echo)
	b := open(t, nil)
	gate.refuse(b.ID(), errors.New("the membership ended"))
	events, cancel := b.Subscribe()
	defer cancel()
	mine, cancel := a.Subscribe()
	defer cancel()
	b.Learn(a.Addresses()...)

	if e := awaitEvent(t, events, p2p.Refused); e.Peer.ID != a.ID() || !strings.Contains(e.Reason, "does not admit") {
		t.Errorf("what the refused node learns: %+v", e)
	}
	if e := awaitEvent(t, mine, p2p.Refused); e.Peer.ID != b.ID() || !strings.Contains(e.Reason, "membership ended") {
		t.Errorf("what the refusing node reports: %+v", e)
	}
	eventually(t, "parted", func() bool { p, _ := b.Peer(a.ID()); return p.Path == "" })
	for _, p := range append(a.Peers(), b.Peers()...) {
		if p.Responsive || p.Problem == "" {
			t.Errorf("a refused peer looks useful: %+v", p)
		}
	}
	if _, err := a.Stream(t.Context(), b.ID(), "echo/1"); !errors.Is(err, share.ErrDenied) {
		t.Errorf("stream to a refused peer: %v, want ErrDenied", err)
	}
}

func TestRevokedWhileConnected(t *testing.T) {
	gate := &refusing{}
	a := open(t, func(c *p2p.Config) { c.Gate = gate })
	for _, name := range []string{"ask/1", "read/1", "write/1"} {
		a.Handle(name, echo)
	}
	b := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	eventually(t, "both up", func() bool { return responsive(a) == 1 && responsive(b) == 1 })
	gate.refuse(b.ID(), errors.New("revoked"))
	for _, name := range []string{"ask/1", "read/1", "write/1", "hello/1"} {
		s, err := b.Stream(t.Context(), a.ID(), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.Write([]byte("x"))
		s.SetReadDeadline(time.Now().Add(waittest.Patience))
		_, err = s.Read(make([]byte, 1))
		if reset, ok := errors.AsType[*network.StreamError](err); !ok || reset.ErrorCode != network.StreamGated {
			t.Errorf("%s to a node that revoked us: %v, want a reset with StreamGated", name, err)
		}
		if !errors.Is(p2p.Reason(err), share.ErrDenied) {
			t.Errorf("%s: Reason %v, want ErrDenied", name, p2p.Reason(err))
		}
		s.Close()
	}
	a.Recheck()
	eventually(t, "parted", func() bool { return responsive(a) == 0 && responsive(b) == 0 })
}

// TestRevokedIsNotUsed: who is refused stays known as that, whether it was connected at the time or away.
func TestRevokedIsNotUsed(t *testing.T) {
	gate := &refusing{}
	a := open(t, func(c *p2p.Config) { c.Gate = gate })
	here := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	away := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	eventually(t, "both up", func() bool { return responsive(a) == 2 })
	away.Close()
	eventually(t, "one away", func() bool { return responsive(a) == 1 })
	revoked := errors.New("revoked")
	gate.mu.Lock()
	gate.out = map[share.ServerID]error{here.ID(): revoked, away.ID(): revoked}
	gate.mu.Unlock()
	a.Recheck()
	eventually(t, "parted", func() bool { return responsive(a) == 0 })
	a.Recheck() // as other news does
	for _, id := range []share.ServerID{here.ID(), away.ID()} {
		eventually(t, "it is known to be refused", func() bool { // that it went away may not have been noted yet
			p, known := a.Peer(id)
			return known && p.Problem != ""
		})
	}
}

// TestRevokedWhileItGoesAway: who is revoked before it is noted that it went away is known to be refused, and not only away.
func TestRevokedWhileItGoesAway(t *testing.T) {
	gate := &refusing{}
	a := open(t, func(c *p2p.Config) { c.Gate = gate })
	away := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	eventually(t, "both up", func() bool { return responsive(a) == 1 && responsive(away) == 1 })
	gate.mu.Lock()
	gate.out = map[share.ServerID]error{away.ID(): errors.New("revoked")}
	gate.mu.Unlock()
	away.Close()
	eventually(t, "it is known to be refused", func() bool {
		p, known := a.Peer(away.ID())
		return known && p.Problem != ""
	})
}

// TestRefusedWhileItAnswers: a peer that answers a hello after it was revoked is no peer again by that.
func TestRefusedWhileItAnswers(t *testing.T) {
	gate := &refusing{}
	a := open(t, func(c *p2p.Config) { c.Gate = gate })
	b := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	eventually(t, "both up", func() bool { return responsive(a) == 1 && responsive(b) == 1 })
	gate.mu.Lock()
	gate.out = map[share.ServerID]error{b.ID(): errors.New("revoked")}
	gate.mu.Unlock()
	a.Suspect(b.ID())
	eventually(t, "it is refused by what it answers", func() bool {
		p, known := a.Peer(b.ID())
		return known && p.Problem != "" && !p.Responsive
	})
}

func TestOtherGrid(t *testing.T) {
	a := open(t, func(c *p2p.Config) { c.Grid = "river" })
	b := open(t, func(c *p2p.Config) { c.Grid, c.Bootstrap = "brook", a.Addresses() })
	events, cancel := b.Subscribe()
	defer cancel()
	e := awaitEvent(t, events, p2p.Refused)
	if !strings.Contains(e.Reason, "another grid (river)") {
		t.Errorf("reason %q, want that it is another grid", e.Reason)
	}
	p, _ := b.Peer(a.ID())
	if p.Problem == "" || p.Responsive {
		t.Errorf("a node of another grid: %+v", p)
	}
	if _, err := b.Stream(t.Context(), a.ID(), "ask/1"); !errors.Is(err, share.ErrVersion) && !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("stream to another grid: %v", err)
	}
}

func TestOtherVersion(t *testing.T) {
	a := open(t, nil)
	b := open(t, nil)
	// A node of a later version serves hello/2 and no longer hello/1.
	b.Libp2p().RemoveStreamHandler("/cairn/test/hello/1")
	b.Handle("hello/2", echo)
	events, cancel := a.Subscribe()
	defer cancel()
	a.Learn(b.Addresses()...)
	if e := awaitEvent(t, events, p2p.Refused); !strings.Contains(e.Reason, "speaks hello/2") {
		t.Errorf("reason %q, want that it speaks hello/2", e.Reason)
	}
}

func TestJoinThroughOne(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const count = 20
		n := newVirtualNet(t)
		defer n.close()
		first := n.add()
		for range count - 1 {
			n.add(first.Addresses()...)
		}
		t.Logf("all %d met within %v", count, within(t, 10*time.Second, "all know all", n.met))
		conns := 0
		for _, v := range n.nodes {
			conns += len(v.Libp2p().Network().Conns())
		}
		t.Logf("%d connections for %d pairs", conns/2, count*(count-1)/2)
		late := n.add(first.Addresses()...)
		took := within(t, 10*time.Second, "the newcomer knows all", func() bool { return responsive(late.Host) == count })
		t.Logf("a newcomer met all %d within %v", count, took)
	})
}

func TestRestartFromBook(t *testing.T) {
	book := filepath.Join(t.TempDir(), "book.json")
	key := newKey(t)
	a := open(t, func(c *p2p.Config) { c.Self = nickname("Ann") })
	b := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	c := open(t, func(c *p2p.Config) { c.Key, c.Bootstrap, c.Book = key, b.Addresses(), book })
	eventually(t, "all met", func() bool { return responsive(a) == 2 && responsive(b) == 2 && responsive(c) == 2 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, func(c *p2p.Config) { c.Key, c.Book = key, book })
	if p, ok := again.Peer(a.ID()); !ok || p.Nickname != "Ann" || p.LastSeen.IsZero() {
		t.Errorf("remembered: %+v", p)
	}
	took := eventually(t, "met again", func() bool { return responsive(again) == 2 })
	t.Logf("met again %v after the restart", took)
}

func TestUnusableBook(t *testing.T) {
	for name, content := range map[string]string{
		"garbage":    "\x00\x01",
		"cut":        `{"version":1,"grid":"test","members":[{"id":"12D3K`,
		"later":      `{"version":2,"grid":"test","members":[]}`,
		"other grid": `{"version":1,"grid":"other","members":[]}`,
		"bad id":     `{"version":1,"grid":"test","members":[{"id":"x","addresses":[]}]}`,
		"huge":       strings.Repeat(" ", 9<<20),
	} {
		t.Run(name, func(t *testing.T) {
			book := filepath.Join(t.TempDir(), "book.json")
			if err := os.WriteFile(book, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			h := open(t, func(c *p2p.Config) { c.Book = book })
			if _, err := os.Stat(book + ".damaged"); err != nil {
				t.Errorf("the book is not kept aside: %v", err)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(book); err != nil || !strings.Contains(string(data), `"version": 1`) {
				t.Errorf("no new book: %q, %v", data, err)
			}
		})
	}
}

func TestAddressChange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		a := n.add()
		b, c := n.add(a.Addresses()...), n.add(a.Addresses()...)
		within(t, 5*time.Second, "all met", n.met)
		n.stop(c)
		within(t, 2*time.Second, "its absence is noticed at once", n.met)
		c.address.Port++
		n.start(c)
		t.Logf("met again at a new address after %v", within(t, 5*time.Second, "all met again", n.met))
		// Where it listens it says by itself, beside the greeting.
		within(t, time.Second, "b believes it at the new address", func() bool {
			p, _ := b.Peer(c.ID())
			return len(p.Addresses) > 0 && slices.Contains(c.Addresses(), p.Addresses[0])
		})
	})
}

func TestUnreachableBootstrap(t *testing.T) {
	gone := open(t, nil)
	addresses := gone.Addresses()[:1]
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	h := open(t, func(c *p2p.Config) { c.Bootstrap = append(addresses, "not an address") })
	eventually(t, "the failure is reported", func() bool {
		p, _ := h.Peer(gone.ID())
		return strings.Contains(p.Failure, "connection refused")
	})
	if peers := h.Peers(); len(peers) != 1 || peers[0].Responsive || peers[0].Problem != "" {
		t.Errorf("peers: %+v", peers)
	}
}

// TestUnreachablePeerInOneLine: what is told of a peer that cannot be dialled is the reason for each address, and no more.
func TestUnreachablePeerInOneLine(t *testing.T) {
	gone := open(t, nil)
	info, err := peer.AddrInfoFromString(gone.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	h := open(t, nil)
	h.Libp2p().Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour) // one that was never dialled
	_, err = h.Stream(t.Context(), gone.ID(), "echo/1")
	if !errors.Is(err, share.ErrUnavailable) || !strings.Contains(err.Error(), info.Addrs[0].String()+": ") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a peer that is gone: %v", err)
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "all dials failed") {
		t.Errorf("it is told as the library tells it: %v", err)
	}
}

func TestQUICAlone(t *testing.T) {
	quic := p2p.LoopbackAddresses(0)[1:]
	a := open(t, func(c *p2p.Config) { c.Listen = quic })
	a.Handle("echo/1", echo)
	b := open(t, func(c *p2p.Config) { c.Listen, c.Bootstrap = quic, a.Addresses() })
	eventually(t, "met", func() bool { return responsive(b) == 1 })
	if p, _ := b.Peer(a.ID()); p.Transport != "quic-v1" || p.Path != p2p.Direct {
		t.Errorf("transport %q, path %q", p.Transport, p.Path)
	}
	s, err := b.Stream(t.Context(), a.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Write([]byte("x"))
	s.CloseWrite()
	if data, err := io.ReadAll(s); err != nil || string(data) != "x" {
		t.Errorf("echo over QUIC: %q, %v", data, err)
	}
}

func TestManyStreamsOfOnePeer(t *testing.T) {
	a := open(t, nil)
	a.Handle("echo/1", echo)
	b := open(t, func(c *p2p.Config) { c.Bootstrap = a.Addresses() })
	eventually(t, "met", func() bool { return responsive(b) == 1 })
	var streams []network.Stream
	for range 300 {
		s, err := b.Stream(t.Context(), a.ID(), "echo/1")
		if err != nil {
			t.Fatalf("stream %d: %v", len(streams), err)
		}
		defer s.Reset()
		s.SetDeadline(time.Now().Add(waittest.Patience))
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i, s := range streams {
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
}
