package doctor_test

import (
	"strings"
	"testing"

	"cairn/node/doctor"
	"cairn/p2p"
	"cairn/share"
)

// seen returns a reachability over TCP and IPv4.
func seen(overall p2p.Reach, nat p2p.NAT, change ...func(*p2p.Reachability)) p2p.Reachability {
	r := p2p.Reachability{Enabled: true, Overall: overall, Transports: []p2p.TransportReach{
		{Transport: "tcp", Family: "ip4", Reach: overall, NAT: nat, Listening: []string{"/ip4/192.168.1.7/tcp/4001"}},
	}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func mapped(r *p2p.Reachability) { r.Router, r.Transports[0].Mapped = true, "/ip4/81.2.3.4/tcp/4001" }
func routed(r *p2p.Reachability) { r.Router = true }
func relayed(r *p2p.Reachability) {
	r.Relays, r.Relaying = []share.ServerID{"a", "b"}, true
}

func v6(address string) func(*p2p.Reachability) {
	return func(r *p2p.Reachability) {
		r.Transports = append(r.Transports, p2p.TransportReach{Transport: "tcp", Family: "ip6", Listening: []string{address}})
	}
}

func TestReach(t *testing.T) {
	const public, private, unknown = p2p.ReachPublic, p2p.ReachPrivate, p2p.ReachUnknown
	for what, try := range map[string]struct {
		r     p2p.Reachability
		name  string
		state doctor.State
		seen  string
	}{
		"loopback only":           {p2p.Reachability{Transports: seen(unknown, "").Transports}, "reachable", doctor.Warn, "loopback"},
		"listening":               {seen(unknown, p2p.NATUnknown, v6("/ip6/fd00::7/tcp/4002")), "listening", doctor.OK, "tcp ip4 port 4001, tcp ip6 port 4002"},
		"a server":                {seen(public, p2p.NATNone), "reachable", doctor.OK, "from outside, over tcp ip4"},
		"a server's NAT":          {seen(public, p2p.NATNone), "NAT", doctor.OK, "none"},
		"a server's router":       {seen(public, p2p.NATNone), "port mapping", doctor.OK, "none is needed"},
		"behind a router":         {seen(private, p2p.NATEndpointIndependent), "reachable", doctor.Warn, "no member got through"},
		"holes":                   {seen(private, p2p.NATEndpointIndependent), "NAT", doctor.OK, "holes can be punched"},
		"symmetric":               {seen(private, p2p.NATEndpointDependent), "NAT", doctor.Warn, "symmetric"},
		"symmetric and forwarded": {seen(public, p2p.NATEndpointDependent), "NAT", doctor.OK, "get through"},
		"too few peers":           {seen(unknown, p2p.NATUnknown), "NAT", doctor.OK, "not known yet"},
		"nobody asked":            {seen(unknown, p2p.NATUnknown), "reachable", doctor.OK, "not known yet"},
		"mapped":                  {seen(public, p2p.NATEndpointIndependent, mapped), "port mapping", doctor.OK, "/ip4/81.2.3.4/tcp/4001"},
		"a router that refuses":   {seen(private, p2p.NATEndpointIndependent, routed), "port mapping", doctor.Warn, "forwards no port"},
		"a router that is silent": {seen(private, p2p.NATEndpointIndependent), "port mapping", doctor.Warn, "no router answered"},
		"silent, and who knows":   {seen(unknown, p2p.NATUnknown), "port mapping", doctor.OK, "no router answered"},
		"relayed":                 {seen(private, p2p.NATEndpointDependent, relayed), "relays", doctor.OK, "2 members can pass traffic on to this node; this node relays"},
		"no relay":                {seen(private, p2p.NATEndpointDependent), "relays", doctor.Warn, "no member passes"},
		"no relay needed":         {seen(public, p2p.NATNone), "relays", doctor.OK, "none is needed"},
		"IPv6":                    {seen(private, p2p.NATUnknown, v6("/ip6/2a01::7/tcp/1")), "IPv6", doctor.OK, "public address"},
		"local IPv6":              {seen(private, p2p.NATUnknown, v6("/ip6/fe80::7/tcp/1")), "IPv6", doctor.Warn, "no public address"},
		"private IPv6":            {seen(private, p2p.NATUnknown, v6("/ip6/fd00::7/tcp/1")), "IPv6", doctor.Warn, "no public address"},
		"no IPv6, none needed":    {seen(public, p2p.NATNone), "IPv6", doctor.OK, "not needed"},
	} {
		found := false
		for _, c := range doctor.Reach(try.r, []string{"4001"}) {
			if c.Name == try.name {
				found = true
				expect(t, what, c, try.state, try.seen)
			} else {
				expect(t, what, c, c.State)
			}
		}
		if !found {
			t.Errorf("%s: nothing is said of %s", what, try.name)
		}
	}
	checks := doctor.Reach(p2p.Reachability{Enabled: true}, nil)
	if len(checks) != 1 || checks[0].State != doctor.Fail {
		t.Errorf("listening on nothing: %+v", checks)
	}
	if c := doctor.Reach(seen(private, p2p.NATUnknown), []string{"4001", "4002"})[1]; !strings.Contains(c.Fix, "port 4001 and 4002") {
		t.Errorf("the fix names no port: %s", c.Fix)
	}
}

func TestAsked(t *testing.T) {
	good := p2p.DialBack{Address: "/ip4/1.2.3.4/tcp/1", Reach: p2p.ReachPublic}
	bad := p2p.DialBack{Address: "/ip4/1.2.3.4/udp/1/quic-v1", Reach: p2p.ReachPrivate, Reason: "timed out"}
	expect(t, "all", doctor.Asked("bob", []p2p.DialBack{good}, nil), doctor.OK, "got through to /ip4/1.2.3.4/tcp/1")
	expect(t, "none", doctor.Asked("bob", []p2p.DialBack{bad}, nil), doctor.Warn, "quic-v1 (timed out)")
	expect(t, "some", doctor.Asked("bob", []p2p.DialBack{bad, good}, nil), doctor.OK, "not to /ip4/1.2.3.4/udp")
	busy := p2p.DialBack{Address: "/ip4/1.2.3.4/tcp/2", Reach: p2p.ReachUnknown, Reason: "asked too often"}
	expect(t, "not tried", doctor.Asked("bob", []p2p.DialBack{busy}, nil), doctor.OK, "did not try /ip4/1.2.3.4/tcp/2 (asked too often)")
	expect(t, "one not tried", doctor.Asked("bob", []p2p.DialBack{busy, bad}, nil), doctor.Warn, "to none of /ip4/1.2.3.4/udp")
	expect(t, "no address", doctor.Asked("bob", nil, nil), doctor.OK, "no public address")
}
