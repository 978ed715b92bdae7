package p2p

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func from(ip string) multiaddr.Multiaddr { return multiaddr.StringCast("/ip4/" + ip + "/tcp/1") }

func TestBudgetForStrangers(t *testing.T) {
	now := time.Now()
	s := newStrangers(10 * time.Second)
	for i := range strangersAtOnce + 1 {
		id := peer.ID(fmt.Sprint("stranger", i))
		if let := s.letIn(id, from(fmt.Sprintf("192.0.2.%d", i)), now); let != (i < strangersAtOnce) {
			t.Errorf("stranger %d of %d: let in %v", i+1, strangersAtOnce, let)
		}
	}
	if !s.letIn("stranger0", from("192.0.2.0"), now) {
		t.Error("a second connection of a stranger that is here is refused")
	}
	if !s.gone("stranger0") || s.gone("stranger0") || !s.letIn("another", from("192.0.2.99"), now) {
		t.Error("a place that was left is not free, or free twice")
	}
	if s.pending("stranger0", now) || !s.pending("another", now) || s.pending("another", now.Add(10*time.Second)) {
		t.Error("strangers are pending for another time than theirs")
	}
	if !s.letIn("late", from("192.0.2.100"), now.Add(11*time.Second)) {
		t.Error("places are not free again after the time is over")
	}
}

func TestBudgetOfOneAddress(t *testing.T) {
	now := time.Now()
	s := newStrangers(10 * time.Second)
	for i := range strangersPerAddress + 1 {
		if let := s.letIn(peer.ID(fmt.Sprint(i)), from("192.0.2.1"), now); let != (i < strangersPerAddress) {
			t.Errorf("stranger %d of one address: let in %v", i+1, let)
		}
	}
	if !s.letIn("b", from("192.0.2.2"), now) {
		t.Error("one address takes the place of another")
	}
	let := strangersPerAddress
	for i := range 2 * strangersPerMinute {
		id := peer.ID(fmt.Sprint("one after the other", i))
		if i == 0 {
			for i := range strangersPerAddress {
				s.gone(peer.ID(fmt.Sprint(i)))
			}
		}
		if s.letIn(id, from("192.0.2.1"), now) {
			let++
		}
		s.gone(id)
	}
	if let != strangersPerMinute {
		t.Errorf("%d strangers of one address within a minute, want %d", let, strangersPerMinute)
	}
	if !s.letIn("c", from("192.0.2.1"), now.Add(2*time.Minute)) {
		t.Error("an address stays shut out after its minute")
	}
	for i := range strangersAtOnce / 2 {
		if !s.letIn(peer.ID(fmt.Sprint("local", i)), from("127.0.0.1"), now.Add(2*time.Minute)) {
			t.Errorf("stranger %d of this machine is refused", i)
		}
	}
	relayed := func(i int) multiaddr.Multiaddr {
		return multiaddr.StringCast(fmt.Sprintf("/p2p/%s/p2p-circuit", newID(t)))
	}
	for i := range strangersPerAddress + 1 {
		if let := s.letIn(peer.ID(fmt.Sprint("relayed", i)), relayed(i), now.Add(4*time.Minute)); let != (i < strangersPerAddress) {
			t.Errorf("stranger %d without an address: let in %v", i+1, let)
		}
	}
}

func TestCountedAddressesAreBounded(t *testing.T) {
	now := time.Now()
	s := newStrangers(10 * time.Second)
	for i := range 2 * countedAddresses {
		id := peer.ID(fmt.Sprint(i))
		s.letIn(id, from(fmt.Sprintf("10.0.%d.%d", i/256, i%256)), now)
		s.gone(id)
	}
	if len(s.recent) > countedAddresses {
		t.Errorf("%d addresses are counted, want at most %d", len(s.recent), countedAddresses)
	}
}

func TestWantedEndsWithTheLast(t *testing.T) {
	s := newStrangers(10 * time.Second)
	one, two := s.want([]peer.ID{"a", "b"}), s.want([]peer.ID{"a"})
	one()
	one()
	if !s.wanted("a") || s.wanted("b") {
		t.Error("a connection that is still wanted is not, or the other way round")
	}
	two()
	if s.wanted("a") || len(s.reached) != 0 {
		t.Error("a connection is wanted for ever")
	}
}

func TestTargetsAreOfOnePeer(t *testing.T) {
	a, b, relay := newID(t), newID(t), newID(t)
	through := "/ip4/192.0.2.1/tcp/1/p2p/" + relay.String() + "/p2p-circuit/p2p/" + a.String()
	info, relays, err := parseTarget([]string{"/ip4/192.0.2.2/tcp/1/p2p/" + a.String(), through})
	if err != nil || info.ID != a || len(info.Addrs) != 2 || len(relays) != 1 || relays[0] != relay {
		t.Errorf("target %v through %v, %v", info, relays, err)
	}
	for name, addresses := range map[string][]string{
		"none": nil, "two peers": {through, "/ip4/192.0.2.2/tcp/1/p2p/" + b.String()}, "no id": {"/ip4/192.0.2.2/tcp/1"},
		"no address": {"/p2p/" + a.String()},
	} {
		if _, _, err := parseTarget(addresses); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
