package p2p_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/share"
)

func echo(s network.Stream) {
	defer s.Close()
	io.Copy(s, s)
}

func TestTwoHostsMeet(t *testing.T) {
	a := open(t, func(c *p2p.Config) { c.Self = nickname("Ann") })
	a.Handle("echo/1", echo)
	events, cancel := a.Subscribe()
	defer cancel()
	b := open(t, func(c *p2p.Config) { c.Bootstrap, c.Self = a.Addresses(), nickname("Bob") })
	eventually(t, "both sides up", func() bool {
		p, _ := b.Peer(a.ID()) // a hello that a began says that it is up, but not how far away
		return responsive(a) == 1 && responsive(b) == 1 && p.Latency > 0
	})

	p, ok := b.Peer(a.ID())
	if !ok || p.Nickname != "Ann" || !p.Storage || p.Space.Free != 1 || p.Path != p2p.Direct || p.Transport != "tcp" ||
		p.Latency <= 0 || p.Latency > time.Minute || len(p.Addresses) == 0 || time.Since(p.LastSeen) > time.Minute {
		t.Errorf("what b knows of a: %+v", p)
	}
	if e := <-events; e.Change != p2p.Up || e.Peer.Nickname != "Bob" {
		t.Errorf("event %+v, want Bob up", e)
	}

	s, err := b.Stream(t.Context(), a.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if data, err := io.ReadAll(s); err != nil || string(data) != "hello" {
		t.Errorf("echo: %q, %v", data, err)
	}
	if _, err := b.Stream(t.Context(), a.ID(), "absent/1"); !errors.Is(err, share.ErrVersion) {
		t.Errorf("a protocol the peer does not speak: %v, want ErrVersion", err)
	}

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Change != p2p.Down || e.Peer.Nickname != "Bob" || e.Peer.Responsive {
		t.Errorf("event %+v, want Bob down", e)
	}
	took := waittest.Took(func() { _, err = a.Stream(t.Context(), b.ID(), "echo/1") })
	if !errors.Is(err, share.ErrUnavailable) || took > time.Second {
		t.Errorf("a peer that is gone: %v after %v, want ErrUnavailable", err, took)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]p2p.Config{
		"no key":   {Grid: "x"},
		"no grid":  {Key: newKey(t)},
		"bad grid": {Key: newKey(t), Grid: "a/b"},
		"address":  {Key: newKey(t), Grid: "x", Listen: []string{"127.0.0.1:80"}},
	} {
		if h, err := p2p.Open(t.Context(), cfg); err == nil {
			h.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPortInUse(t *testing.T) {
	a := open(t, nil)
	for _, address := range a.Addresses() {
		address, _, _ = strings.Cut(address, "/p2p/")
		h, err := p2p.Open(t.Context(), p2p.Config{Key: newKey(t), Grid: "test", Listen: []string{address}})
		if err == nil {
			h.Close()
			t.Fatalf("two hosts listen on %s", address)
		}
		if !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("listen on %s: %v, want that it is in use", address, err)
		}
	}
}
