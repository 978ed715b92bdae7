package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cairn/node/account"
)

// TestMembersOfAnAddress: a sheet that a node makes which does not run names each member once, however many addresses it has.
func TestMembersOfAnAddress(t *testing.T) {
	got := members([]string{"/ip4/1.2.3.4/tcp/1/p2p/A", "/ip4/1.2.3.4/udp/1/quic-v1/p2p/A", "/ip4/1.2.3.5/tcp/1/p2p/B"})
	want := []account.Contact{{Name: "a member", Address: "/ip4/1.2.3.4/tcp/1/p2p/A"}, {Name: "a member", Address: "/ip4/1.2.3.5/tcp/1/p2p/B"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
