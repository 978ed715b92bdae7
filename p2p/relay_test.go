package p2p_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"

	"cairn/p2p"
)

// TestThroughRelay reaches a member through another one, without the limits a public relay has.
func TestThroughRelay(t *testing.T) {
	relay := open(t, func(c *p2p.Config) { c.NoGossip = true })
	hidden := open(t, func(c *p2p.Config) { c.Bootstrap = relay.Addresses() })
	hidden.Handle("echo/1", echo)
	caller := open(t, nil)
	eventually(t, 5*time.Second, "met the relay", func() bool { return responsive(hidden) == 1 })
	info, err := peer.AddrInfoFromString(relay.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(t.Context(), hidden.Libp2p(), *info); err != nil {
		t.Fatal(err)
	}
	// The relay passes on for members only, so the caller has to be one first.
	caller.Learn(relay.Addresses()[0])
	eventually(t, 5*time.Second, "the caller met the relay", func() bool { p, _ := caller.Peer(relay.ID()); return p.Responsive })
	eventually(t, 5*time.Second, "the relay met the caller", func() bool { p, _ := relay.Peer(caller.ID()); return p.Responsive })
	caller.Learn(relay.Addresses()[0] + "/p2p-circuit/p2p/" + string(hidden.ID()))
	eventually(t, 10*time.Second, "met through the relay", func() bool { p, _ := caller.Peer(hidden.ID()); return p.Responsive })
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
	s.SetReadDeadline(time.Now().Add(20 * time.Second))
	if back, err := io.ReadAll(s); err != nil || !bytes.Equal(back, data) {
		t.Errorf("%d of %d bytes came back: %v", len(back), len(data), err)
	}
}
