package p2p

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func addresses(texts ...string) (list []multiaddr.Multiaddr) {
	for _, text := range texts {
		list = append(list, multiaddr.StringCast(text))
	}
	return list
}

// TestNAT tells kinds of routers by how peers see one port.
func TestNAT(t *testing.T) {
	own := addresses("/ip4/192.168.1.2/tcp/4001", "/ip6/2a00::2/tcp/4001")
	for what, c := range map[string]struct {
		seen      []observation
		nat       NAT
		external  int
		observers int
	}{
		"nobody":           {nil, NATUnknown, 0, 0},
		"one":              {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/4001")[0]}}, NATUnknown, 1, 1},
		"two in one place": {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/4001")[0]}, {"b", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/4001")[0]}}, NATUnknown, 1, 2},
		"the same":         {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/9")[0]}, {"b", "1.1.1.2", addresses("/ip4/5.5.5.5/tcp/9")[0]}}, NATEndpointIndependent, 1, 2},
		"different":        {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/9")[0]}, {"b", "1.1.1.2", addresses("/ip4/5.5.5.5/tcp/8")[0]}}, NATEndpointDependent, 2, 2},
		"says it again":    {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/9")[0]}, {"a", "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/8")[0]}}, NATUnknown, 1, 1},
		"another kind":     {[]observation{{"a", "1.1.1.1", addresses("/ip4/5.5.5.5/udp/9/quic-v1")[0]}}, NATUnknown, 0, 0},
		"none":             {[]observation{{"a", "1.1.1.1", addresses("/ip4/192.168.1.2/tcp/4001")[0]}}, NATNone, 1, 1},
	} {
		var s sight
		for _, o := range c.seen {
			s.note(o)
		}
		kind := func(a multiaddr.Multiaddr) bool { return isKind(a, "tcp", "ip4") }
		if external, observers, nat := s.seen(kind, own); nat != c.nat || observers != c.observers || len(external) != c.external {
			t.Errorf("%s: %s by %d observers, seen at %v", what, nat, observers, external)
		}
	}
}

// TestAnswered: the latest answer of a member that was asked counts, for a while, beside the library's verdict.
func TestAnswered(t *testing.T) {
	var s sight
	list := addresses("/ip4/5.5.5.5/tcp/1", "/ip4/5.5.5.5/tcp/2", "/ip4/5.5.5.5/tcp/3")
	s.verdict(list[:1], list[1:2])
	now := time.Now()
	s.answer(list[1], ReachPublic, now)
	s.answer(list[2], ReachPublic, now.Add(-answerFor-time.Minute))
	good, bad := s.confirmed()
	if len(good) != 2 || len(bad) != 0 {
		t.Errorf("reachable %v, not reachable %v", good, bad)
	}
	s.answer(list[1], ReachPrivate, now)
	good, bad = s.confirmed()
	if len(good) != 1 || len(bad) != 1 {
		t.Errorf("after another answer: reachable %v, not reachable %v", good, bad)
	}
}

// TestSightIsBounded: no number of peers makes the list grow without end.
func TestSightIsBounded(t *testing.T) {
	var s sight
	for i := range 3 * maxObservers {
		s.note(observation{peer.ID(rune(i)), "1.1.1.1", addresses("/ip4/5.5.5.5/tcp/9")[0]})
	}
	if len(s.observed) > maxObservers {
		t.Errorf("%d observations are kept", len(s.observed))
	}
}

func TestPaused(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		now  time.Time
		want bool
	}{
		"a look":        {now.Add(clockEvery), false},
		"a busy moment": {now.Add(clockEvery + pausedFor/2), false},
		"stopped":       {now.Add(time.Minute), true},
		"asleep":        {now.Round(0).Add(time.Hour), true},
		"set back":      {now.Round(0).Add(-time.Hour), true},
	} {
		if paused(now, c.now) != c.want {
			t.Errorf("%s: paused is %v", what, !c.want)
		}
	}
}

// TestAnnounce: what is told others has the addresses of this machine as they are now.
func TestAnnounce(t *testing.T) {
	var i interfaces
	i.look()
	i.lost = append(i.lost, []byte{20, 0, 1, 2})
	got := i.announce(addresses("/ip4/20.0.1.2/tcp/1", "/ip4/20.0.1.3/tcp/1", "/ip4/20.0.1.2/tcp/1/p2p-circuit"))
	if len(got) != 2 || isCircuit(got[0]) || !isCircuit(got[1]) {
		t.Errorf("announced: %v", got)
	}
}

// TestBalance: a peer with many addresses at relays keeps its own, and one with many of its own those at relays.
func TestBalance(t *testing.T) {
	var own, relayed []multiaddr.Multiaddr
	for i := range 10 {
		own = append(own, addresses(fmt.Sprintf("/ip4/20.0.0.%d/tcp/1", i))...)
		relay := []string{"12D3KooWKuUEZrrMfPSHGe138g9SF5GxUczwPe83p7ahjXCemV8V", "12D3KooWFErjBst2FryjqcEdw3M7ssbKC8pFzFbM796dfvqNAfWd"}[i/5]
		relayed = append(relayed, addresses(fmt.Sprintf("/ip4/20.0.1.%d/tcp/1/p2p/%s/p2p-circuit", i, relay))...)
	}
	for what, c := range map[string]struct {
		announced      []multiaddr.Multiaddr
		direct, relays int
	}{
		"both":   {append(slices.Clone(relayed), own...), maxAddresses - maxCircuits, maxCircuits},
		"own":    {own, maxAddresses, 0},
		"relays": {relayed, 0, maxCircuits},
		"one":    {relayed[:5], 0, maxPerRelay},
	} {
		got := balance(c.announced)
		relays := len(keep(got, isCircuit))
		if relays != c.relays || len(got)-relays != c.direct {
			t.Errorf("%s: %v", what, got)
		}
	}
}
