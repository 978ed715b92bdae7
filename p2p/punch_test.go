package p2p

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/multiformats/go-multiaddr"
)

// TestAlike: QUIC is taken to be seen where TCP is, if the router kept the number of the port that both listen on.
func TestAlike(t *testing.T) {
	t.Parallel()
	both := addresses("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/udp/4001/quic-v1")
	for name, c := range map[string]struct {
		outside, listening []multiaddr.Multiaddr
		want               string
	}{
		"the same port":      {addresses("/ip4/5.5.5.5/tcp/4001"), both, "/ip4/5.5.5.5/udp/4001/quic-v1"},
		"another port":       {addresses("/ip4/5.5.5.5/tcp/4002"), both, ""},
		"no QUIC":            {addresses("/ip4/5.5.5.5/tcp/4001"), both[:1], ""},
		"QUIC elsewhere":     {addresses("/ip4/5.5.5.5/tcp/4001"), addresses("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4002/quic-v1"), ""},
		"TCP elsewhere":      {addresses("/ip4/5.5.5.5/tcp/4001"), addresses("/ip4/0.0.0.0/tcp/4002", "/ip4/0.0.0.0/udp/4001/quic-v1"), ""},
		"QUIC itself":        {addresses("/ip4/5.5.5.5/udp/4001/quic-v1"), both, ""},
		"nobody saw us":      {nil, both, ""},
		"another version":    {addresses("/ip6/2a00::1/tcp/4001"), both, ""},
		"listens on nothing": {addresses("/ip4/5.5.5.5/tcp/4001"), nil, ""},
	} {
		got := ""
		for _, a := range alike(c.outside, c.listening) {
			got += a.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPunchFilter: QUIC comes into play when a hole for TCP alone could not be punched, or when there is nothing else.
func TestPunchFilter(t *testing.T) {
	t.Parallel()
	p := newPaths()
	f := punchFilter{p}
	id, other := peer.ID("a"), peer.ID("b")
	all := addresses("/ip4/5.5.5.5/tcp/4001", "/ip4/5.5.5.5/udp/4001/quic-v1")
	if got := f.FilterLocal(id, all); len(got) != 1 || dialClass(got[0]) != 0 {
		t.Errorf("at first: %v", got)
	}
	if got := f.FilterRemote(id, all[1:]); len(got) != 1 {
		t.Errorf("QUIC alone: %v", got)
	}
	end := func(ok bool) {
		p.Trace(&holepunch.Event{Remote: id, Type: holepunch.EndHolePunchEvtT, Evt: &holepunch.EndHolePunchEvt{Success: ok}})
	}
	end(false)
	if got := f.FilterRemote(id, all); len(got) != 2 {
		t.Errorf("after a failure: %v", got)
	}
	if got := f.FilterRemote(other, all); len(got) != 1 {
		t.Errorf("for another peer: %v", got)
	}
	end(true)
	if got := f.FilterRemote(id, all); len(got) != 1 {
		t.Errorf("after a success: %v", got)
	}
}
