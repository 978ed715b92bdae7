package p2p_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"

	"cairn/internal/waittest"
	"cairn/p2p"
)

// TestThroughRelay reaches a member through another one, without the limits a public relay has.
func TestThroughRelay(t *testing.T) {
	relay := open(t, func(c *p2p.Config) { c.NoGossip = true })
	hidden := open(t, func(c *p2p.Config) { c.Bootstrap = relay.Addresses() })
	hidden.Handle("echo/1", echo)
	caller := open(t, nil)
	eventually(t, "met the relay", func() bool { return responsive(hidden) == 1 })
	info, err := peer.AddrInfoFromString(relay.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(t.Context(), hidden.Libp2p(), *info); err != nil {
		t.Fatal(err)
	}
	// The relay passes on for members only, so the caller has to be one first.
	caller.Learn(relay.Addresses()[0])
	eventually(t, "the caller met the relay", func() bool { p, _ := caller.Peer(relay.ID()); return p.Responsive })
	eventually(t, "the relay met the caller", func() bool { p, _ := relay.Peer(caller.ID()); return p.Responsive })
	caller.Learn(relay.Addresses()[0] + "/p2p-circuit/p2p/" + string(hidden.ID()))
	eventually(t, "met through the relay", func() bool { p, _ := caller.Peer(hidden.ID()); return p.Responsive })
	if p, _ := caller.Peer(hidden.ID()); p.Path != p2p.Relayed || p.Transport != "relay" {
		t.Errorf("path %q, transport %q, want relayed", p.Path, p.Transport)
	}
	s, err := caller.Stream(t.Context(), hidden.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB, eight times what a public relay passes on
	go func() {
		s.Write(data)
		s.CloseWrite()
	}()
	s.SetReadDeadline(time.Now().Add(waittest.Patience))
	if back, err := io.ReadAll(s); err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d of %d bytes came back: %v", len(back), len(data), err)
	}
}

// TestUpgrade: once a member that was reached through a relay can be reached directly, that is told, new streams take the
// direct way, those that run go on, and streams over the relay say that they are outdated.
func TestUpgrade(t *testing.T) {
	relay := open(t, func(c *p2p.Config) { c.NoGossip = true })
	hidden := open(t, func(c *p2p.Config) { c.Bootstrap = relay.Addresses() })
	hidden.Handle("echo/1", echo)
	caller := open(t, nil)
	info, err := peer.AddrInfoFromString(relay.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "met the relay", func() bool { return responsive(hidden) == 1 })
	if _, err := client.Reserve(t.Context(), hidden.Libp2p(), *info); err != nil {
		t.Fatal(err)
	}
	caller.Learn(relay.Addresses()[0])
	eventually(t, "the relay met the caller", func() bool { p, _ := relay.Peer(caller.ID()); return p.Responsive })
	caller.Learn(relay.Addresses()[0] + "/p2p-circuit/p2p/" + string(hidden.ID()))
	eventually(t, "met through the relay", func() bool { p, _ := caller.Peer(hidden.ID()); return p.Responsive && p.Path == p2p.Relayed })
	events, cancel := caller.Subscribe()
	defer cancel()
	old, err := caller.Stream(t.Context(), hidden.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Reset()
	ping(t, old)
	if outdated(t, old) {
		t.Error("outdated before there is another way")
	}

	direct, err := peer.AddrInfoFromString(hidden.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.Libp2p().Connect(network.WithForceDirectDial(t.Context(), "test"), *direct); err != nil {
		t.Fatal(err)
	}
	if e := awaitEvent(t, events, p2p.Moved); e.Peer.ID != hidden.ID() || e.Peer.Path != p2p.Direct || e.Peer.Transport != "tcp" {
		t.Errorf("event %+v, want that the way to the hidden node is direct now", e)
	}
	if !outdated(t, old) {
		t.Error("a stream over the relay is not outdated")
	}
	ping(t, old)
	fresh, err := caller.Stream(t.Context(), hidden.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Reset()
	ping(t, fresh)
	if outdated(t, fresh) || strings.Contains(fresh.Conn().RemoteMultiaddr().String(), "p2p-circuit") {
		t.Errorf("a new stream goes by %s", fresh.Conn().RemoteMultiaddr())
	}
}

func outdated(t *testing.T, s network.Stream) bool {
	t.Helper()
	ager, ok := s.(interface{ Outdated() bool })
	if !ok {
		t.Fatal("the stream does not say whether it is outdated")
	}
	return ager.Outdated()
}

// ping has the other end echo a few bytes.
func ping(t *testing.T, s network.Stream) {
	t.Helper()
	s.SetDeadline(time.Now().Add(waittest.Patience))
	var back [5]byte
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, back[:]); err != nil || string(back[:]) != "hello" {
		t.Fatalf("echo: %q, %v", back, err)
	}
}

// TestRelayIsForMembers: a peer that has not greeted the relay, or that its gate refuses, gets no place there.
func TestRelayIsForMembers(t *testing.T) {
	gate := &refusing{}
	relay := open(t, func(c *p2p.Config) { c.Gate = gate })
	stranger := open(t, func(c *p2p.Config) { c.Grid = "another" })
	revoked := open(t, func(c *p2p.Config) { c.Bootstrap = relay.Addresses() })
	member := open(t, func(c *p2p.Config) { c.Bootstrap = relay.Addresses() })
	eventually(t, "met", func() bool { return responsive(relay) == 2 })
	gate.refuse(revoked.ID(), errors.New("revoked"))
	info, err := peer.AddrInfoFromString(relay.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, h := range map[string]*p2p.Host{"a stranger": stranger, "a revoked member": revoked} {
		if _, err := client.Reserve(t.Context(), h.Libp2p(), *info); err == nil {
			t.Errorf("%s got a place at the relay", what)
		}
	}
	if _, err := client.Reserve(t.Context(), member.Libp2p(), *info); err != nil {
		t.Errorf("a member: %v", err)
	}
}
