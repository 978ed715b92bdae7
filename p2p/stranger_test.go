package p2p_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
)

// guests is a gate with a list of who is in.
type guests struct {
	mu sync.Mutex
	in map[share.ServerID]bool
}

func (g *guests) Admit(id share.ServerID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.in[id] {
		return fmt.Errorf("%w: not on the list", share.ErrDenied)
	}
	return nil
}

func (g *guests) add(ids ...share.ServerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = make(map[share.ServerID]bool)
	}
	for _, id := range ids {
		g.in[id] = true
	}
}

func (g *guests) remove(id share.ServerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.in, id)
}

const password = "let me in"

// shows is how a guest presents itself.
func shows(_ context.Context, s p2p.Stream) error {
	if _, err := s.Write([]byte(password)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(s)
	if err == nil && string(answer) != "welcome" {
		err = errors.New("turned away")
	}
	return err
}

// openClub starts a host that admits guests, and whoever shows the password.
func openClub(t *testing.T, gate *guests, change func(*p2p.Config)) *p2p.Host {
	t.Helper()
	h := open(t, func(c *p2p.Config) {
		c.Gate, c.Present = gate, shows
		if change != nil {
			change(c)
		}
	})
	h.HandleStranger(p2p.PresentName, func(s p2p.Stream) {
		defer s.Close()
		data, err := io.ReadAll(io.LimitReader(s, 64))
		if err != nil || string(data) != password {
			return
		}
		gate.add(share.ServerID(s.Conn().RemotePeer().String()))
		s.Write([]byte("welcome"))
	})
	return h
}

func addressInfo(t *testing.T, h *p2p.Host) peer.AddrInfo {
	t.Helper()
	info, err := peer.AddrInfoFromString(h.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	return *info
}

// bare starts a libp2p host that is none of ours.
func bare(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestUnknownMemberPresentsItself: the listener never heard of the member that dials it, and admits it on the same connection.
func TestUnknownMemberPresentsItself(t *testing.T) {
	mine, yours := &guests{}, &guests{}
	a := openClub(t, mine, nil)
	yours.add(a.ID())
	events, cancel := a.Subscribe()
	defer cancel()
	b := openClub(t, yours, nil)
	var conns atomic.Int32
	a.Libp2p().Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { conns.Add(1) }})
	var e p2p.Event
	took := waittest.Took(func() {
		b.Learn(a.Addresses()...)
		e = awaitEvent(t, events, p2p.Up)
	})
	if e.Peer.ID != b.ID() || took > time.Second {
		t.Errorf("up: %s after %v, want the unknown member within a second", e.Peer.ID.Short(), took)
	}
	eventually(t, "both up", func() bool { return responsive(a) == 1 && responsive(b) == 1 })
	if n := conns.Load(); n != 1 {
		t.Errorf("it took %d connections, want one", n)
	}
	for _, h := range []*p2p.Host{a, b} {
		for _, p := range h.Peers() {
			if p.Problem != "" {
				t.Errorf("problem %q of a member", p.Problem)
			}
		}
	}
}

// TestUnansweredCredentialsAreShownAgain: who was not heard is not taken for refused, which would be for minutes.
func TestUnansweredCredentialsAreShownAgain(t *testing.T) {
	for name, fail := range map[string]func(c network.Conn, s p2p.Stream){
		"a reset stream":    func(_ network.Conn, s p2p.Stream) { s.Reset() },
		"a lost connection": func(c network.Conn, _ p2p.Stream) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			mine, yours := &guests{}, &guests{}
			a := openClub(t, mine, nil)
			yours.add(a.ID())
			var shown atomic.Int32
			b := openClub(t, yours, func(c *p2p.Config) {
				c.Present = func(ctx context.Context, s p2p.Stream) error {
					if shown.Add(1) == 1 {
						fail(s.Conn(), s)
					}
					return p2p.Reason(shows(ctx, s))
				}
			})
			events, cancel := b.Subscribe()
			defer cancel()
			b.Learn(a.Addresses()...)
			for e := range events {
				if e.Change == p2p.Refused {
					t.Fatalf("refused: %s", e.Reason)
				}
				if e.Change == p2p.Up {
					break
				}
			}
			if n := shown.Load(); n < 2 {
				t.Errorf("credentials were shown %d times, want it again", n)
			}
		})
	}
}

// TestNoAnswerToCredentials: a peer that never answers is left alone after a few times.
func TestNoAnswerToCredentials(t *testing.T) {
	a := openClub(t, &guests{}, nil)
	yours := &guests{}
	yours.add(a.ID())
	var shown atomic.Int32
	b := openClub(t, yours, func(c *p2p.Config) {
		c.Present = func(_ context.Context, s p2p.Stream) error {
			shown.Add(1)
			s.Reset()
			return p2p.Reason(network.ErrReset)
		}
	})
	events, cancel := b.Subscribe()
	defer cancel()
	b.Learn(a.Addresses()...)
	for e := range events {
		if e.Change == p2p.Up {
			t.Fatal("up without credentials")
		}
		if e.Change == p2p.Refused {
			if !strings.Contains(e.Reason, "no answer") {
				t.Errorf("refused because %q", e.Reason)
			}
			break
		}
	}
	if n := shown.Load(); n < 4 {
		t.Errorf("credentials were shown %d times, want at least four times", n)
	}
}

// TestUnknownDiallerIsNotTold: a node shows nothing to peers that its own gate does not admit.
func TestUnknownDiallerIsNotTold(t *testing.T) {
	asked := make(chan struct{}, 8)
	b := open(t, func(c *p2p.Config) {
		c.Gate = &guests{}
		c.Present = func(context.Context, p2p.Stream) error { asked <- struct{}{}; return nil }
	})
	b.HandleStranger("join/1", echo)
	raw := bare(t)
	if err := raw.Connect(t.Context(), addressInfo(t, b)); err != nil {
		t.Fatal(err)
	}
	s, err := raw.NewStream(t.Context(), b.Libp2p().ID(), "/cairn/join/1")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "x")
	s.CloseWrite()
	if data, err := io.ReadAll(s); err != nil || string(data) != "x" {
		t.Errorf("echo to a stranger: %q, %v", data, err)
	}
	if len(asked) != 0 {
		t.Error("a stranger was shown the credentials")
	}
}

// TestStrangerGetsNothing opens every protocol of a node as a stranger.
func TestStrangerGetsNothing(t *testing.T) {
	var served atomic.Int32
	a := openClub(t, &guests{}, nil)
	for _, name := range []string{"ask/2", "read/1", "write/3", "roster/1"} {
		a.Handle(name, func(s network.Stream) { served.Add(1); echo(s) })
	}
	raw := bare(t)
	if err := raw.Connect(t.Context(), addressInfo(t, a)); err != nil {
		t.Fatal(err)
	}
	open := map[protocol.ID]bool{
		"/ipfs/id/1.0.0": true, "/ipfs/id/push/1.0.0": true, "/ipfs/ping/1.0.0": true, // of libp2p itself
		"/cairn/present/1": true, // for strangers
	}
	refused := 0
	for _, name := range a.Libp2p().Mux().Protocols() {
		if open[name] || strings.HasPrefix(string(name), "/libp2p/") { // the relay asks on its own, see below
			continue
		}
		s, err := raw.NewStream(t.Context(), a.Libp2p().ID(), name)
		if err == nil {
			s.SetDeadline(time.Now().Add(waittest.Patience))
			io.WriteString(s, "x")
			var n int
			n, err = s.Read(make([]byte, 1))
			if n > 0 {
				t.Errorf("%s answered a stranger", name)
			}
			s.Reset()
		}
		if reset, ok := errors.AsType[*network.StreamError](err); !ok || reset.ErrorCode != network.StreamGated {
			t.Errorf("%s: %v, want a reset with StreamGated", name, err)
		}
		refused++
	}
	if refused < 5 || served.Load() != 0 {
		t.Errorf("%d protocols refused, %d served to a stranger", refused, served.Load())
	}
	if _, err := client.Reserve(t.Context(), raw, addressInfo(t, a)); err == nil {
		t.Error("a stranger has a place at the relay")
	}
}

func TestSilentStrangerIsSentAway(t *testing.T) {
	a := openClub(t, &guests{}, func(c *p2p.Config) { c.StrangerFor = 300 * time.Millisecond })
	mine, cancel := a.Subscribe()
	defer cancel()
	raw := bare(t)
	if err := raw.Connect(t.Context(), addressInfo(t, a)); err != nil {
		t.Fatal(err)
	}
	if e := awaitEvent(t, mine, p2p.Refused); !strings.Contains(e.Reason, "not on the list") {
		t.Errorf("refused because %q", e.Reason)
	}
	eventually(t, "the connection is closed", func() bool { return len(a.Libp2p().Network().Peers()) == 0 })
}

func TestTooManyStrangers(t *testing.T) {
	a := openClub(t, &guests{}, nil)
	info := addressInfo(t, a)
	for range 24 {
		raw := bare(t)
		// The dialler's side may be finished before the node closes the connection.
		if err := raw.Connect(t.Context(), info); err != nil {
			t.Log(err)
		}
	}
	eventually(t, "all but sixteen are closed", func() bool { return len(a.Libp2p().Network().Peers()) <= 16 })
	if n := len(a.Libp2p().Network().Peers()); n < 16 {
		t.Errorf("%d strangers are let in, want 16", n)
	}
}

func TestReach(t *testing.T) {
	gate := &guests{}
	a := openClub(t, gate, nil)
	a.HandleStranger("join/1", echo)
	b, err := p2p.OpenStranger(t.Context(), p2p.Config{Key: newKey(t), DialTimeout: waittest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, id, err := b.Reach(t.Context(), a.Addresses(), "join/1")
	if err != nil || id != a.ID() {
		t.Fatalf("reached %q, %v", id, err)
	}
	io.WriteString(s, "hello")
	s.CloseWrite()
	if data, err := io.ReadAll(s); err != nil || string(data) != "hello" {
		t.Errorf("echo: %q, %v", data, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "the connection ends with the stream", func() bool {
		return len(a.Libp2p().Network().Peers()) == 0 && len(b.Libp2p().Network().Peers()) == 0
	})

	if _, _, err := b.Reach(t.Context(), a.Addresses(), "absent/1"); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a protocol that is not spoken: %v, want ErrVersion", err)
	}
	// Another node listens where the address says.
	other := openClub(t, &guests{}, nil)
	at, _, _ := strings.Cut(other.Addresses()[0], "/p2p/")
	c, err := p2p.OpenStranger(t.Context(), p2p.Config{Key: newKey(t), DialTimeout: waittest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Reach(t.Context(), []string{at + "/p2p/" + string(a.ID())}, "join/1"); err == nil {
		t.Error("reached a node of another identity")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reach(t.Context(), a.Addresses(), "join/1"); err == nil {
		t.Error("reached a node that is gone")
	}
}

// TestReachThroughRelay: a member that only a relay reaches answers a stranger, and the stranger gets nothing else of the relay.
func TestReachThroughRelay(t *testing.T) {
	gate := &guests{}
	relay := openClub(t, gate, func(c *p2p.Config) { c.NoGossip = true })
	hidden := openClub(t, gate, nil)
	gate.add(relay.ID(), hidden.ID())
	hidden.Learn(relay.Addresses()...)
	hidden.HandleStranger("join/1", echo)
	eventually(t, "met the relay", func() bool { return responsive(hidden) == 1 && responsive(relay) == 1 })
	if _, err := client.Reserve(t.Context(), hidden.Libp2p(), addressInfo(t, relay)); err != nil {
		t.Fatal(err)
	}
	b, err := p2p.OpenStranger(t.Context(), p2p.Config{Key: newKey(t), DialTimeout: waittest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	through := relay.Addresses()[0] + "/p2p-circuit/p2p/" + string(hidden.ID())
	s, _, err := b.Reach(t.Context(), []string{through}, "join/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	io.WriteString(s, "hello")
	s.CloseWrite()
	if data, err := io.ReadAll(s); err != nil || string(data) != "hello" {
		t.Errorf("echo: %q, %v", data, err)
	}
}

// TestRevokedDuringTransfer: a transfer under way ends at once.
func TestRevokedDuringTransfer(t *testing.T) {
	gate := &guests{}
	a := openClub(t, gate, nil)
	a.Handle("flood/1", func(s network.Stream) {
		defer s.Reset()
		for data := make([]byte, 1<<16); ; {
			if _, err := s.Write(data); err != nil {
				return
			}
		}
	})
	b := open(t, func(c *p2p.Config) {
		c.Present = func(context.Context, p2p.Stream) error { return errors.New("revoked") }
	})
	gate.add(b.ID())
	b.Learn(a.Addresses()...)
	eventually(t, "both up", func() bool { return responsive(a) == 1 && responsive(b) == 1 })
	s, err := b.Stream(t.Context(), a.ID(), "flood/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if _, err := io.CopyN(io.Discard, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	gate.remove(b.ID())
	took := waittest.Took(func() {
		a.Recheck()
		s.SetReadDeadline(time.Now().Add(waittest.Patience))
		_, err = io.Copy(io.Discard, s)
	})
	if err == nil || took > time.Second {
		t.Errorf("the transfer ended after %v with %v", took, err)
	}
	eventually(t, "it is out", func() bool { return responsive(a) == 0 })
	if s, err := b.Stream(t.Context(), a.ID(), "flood/1"); err == nil {
		s.SetReadDeadline(time.Now().Add(waittest.Patience))
		if _, err = s.Read(make([]byte, 1)); err == nil {
			t.Error("a revoked member is served")
		}
		s.Reset()
	}
}
