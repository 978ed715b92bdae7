package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cairn/p2p"
)

// Reach judges how other nodes reach this one. Ports are those that the node listens on, for the advice.
func Reach(r p2p.Reachability, ports []string) []Check {
	if len(r.Transports) == 0 {
		return []Check{fail("listening", "on nothing", "set network.listen; \"cairn config show\" shows it")}
	}
	checks := []Check{listening(r)}
	if !r.Enabled {
		return append(checks, warn("reachable", "from this machine only: every listen address is on loopback",
			"set network.listen to /ip4/0.0.0.0/tcp/PORT and /ip4/0.0.0.0/udp/PORT/quic-v1 if other machines are to reach this node"))
	}
	return append(checks, reachable(r, ports), nat(r), router(r, ports), relays(r), ipv6(r))
}

func listening(r p2p.Reachability) Check {
	var kinds []string
	for _, t := range r.Transports {
		kind := t.Transport + " " + t.Family
		if port := portOf(t.Listening); port != "" {
			kind += " port " + port
		}
		kinds = append(kinds, kind)
	}
	return ok("listening", strings.Join(kinds, ", "))
}

// portOf returns the port of the first multiaddr that has one.
func portOf(addresses []string) string {
	for _, a := range addresses {
		if parts := strings.Split(a, "/"); len(parts) > 4 {
			return parts[4]
		}
	}
	return ""
}

// through advises to let a port through what stands between this machine and the others.
func through(ports []string) string {
	port := "its port"
	if len(ports) > 0 {
		port = "port " + strings.Join(ports, " and ")
	}
	return "in the router, forward " + port + " (TCP and UDP) to this machine; in the firewall of this machine, let it in (for instance \"ufw allow PORT\")"
}

func reachable(r p2p.Reachability, ports []string) Check {
	const name = "reachable"
	switch r.Overall {
	case p2p.ReachPublic:
		var at []string
		for _, t := range r.Transports {
			if t.Reach == p2p.ReachPublic {
				at = append(at, t.Transport+" "+t.Family)
			}
		}
		return ok(name, "from outside, over "+strings.Join(at, ", "))
	case p2p.ReachPrivate:
		return warn(name, "not from outside: no member got through", through(ports))
	}
	return ok(name, "not known yet: no member outside this network could be asked")
}

func nat(r p2p.Reachability) Check {
	const name = "NAT"
	has := func(kind p2p.NAT) bool {
		return slices.ContainsFunc(r.Transports, func(t p2p.TransportReach) bool { return t.NAT == kind })
	}
	switch {
	case has(p2p.NATEndpointDependent) && r.Overall != p2p.ReachPublic:
		return warn(name, "symmetric: every peer sees another address, so that holes cannot be punched to peers behind a router like this one",
			"forward the port in the router; without that, traffic with some peers goes through a member that relays")
	case has(p2p.NATEndpointIndependent):
		return ok(name, "all peers see the same address: holes can be punched")
	case has(p2p.NATEndpointDependent):
		return ok(name, "symmetric, and peers get through all the same")
	case has(p2p.NATNone):
		return ok(name, "none: peers see an address of this machine")
	}
	return ok(name, "not known yet: fewer than two peers outside said how they see this node")
}

func router(r p2p.Reachability, ports []string) Check {
	const name = "port mapping"
	var mapped []string
	direct := false
	for _, t := range r.Transports {
		if t.Mapped != "" {
			mapped = append(mapped, t.Mapped)
		}
		direct = direct || t.NAT == p2p.NATNone
	}
	switch {
	case len(mapped) > 0:
		return ok(name, "the router forwards "+few(mapped))
	case r.Overall == p2p.ReachPublic || direct:
		return ok(name, "none, and none is needed")
	case r.Router:
		return warn(name, "the router answers, and forwards no port", "see whether the router's list of forwarded ports is full, or "+through(ports))
	case r.Overall == p2p.ReachUnknown:
		return ok(name, "no router answered (UPnP, NAT-PMP)")
	}
	return warn(name, "no router answered (UPnP, NAT-PMP)", "switch on UPnP or NAT-PMP in the router, or "+through(ports))
}

func relays(r p2p.Reachability) Check {
	const name = "relays"
	seen := "none is needed"
	if len(r.Relays) > 0 {
		seen = count(len(r.Relays), "member") + " can pass traffic on to this node"
	}
	if r.Relaying {
		seen += "; this node relays for members"
	}
	if r.Overall == p2p.ReachPrivate && len(r.Relays) == 0 {
		return warn(name, "no member passes traffic on to this node", "one member that is reachable from outside is enough: a friend without a router in between, or with a forwarded port")
	}
	return ok(name, seen)
}

func ipv6(r p2p.Reachability) Check {
	const name = "IPv6"
	for _, t := range r.Transports {
		if t.Family == "ip6" && slices.ContainsFunc(append(slices.Clone(t.Listening), t.External...), global6) {
			return ok(name, "this machine has a public address")
		}
	}
	if r.Overall == p2p.ReachPrivate {
		return warn(name, "this machine has no public address", "where the provider offers IPv6, switch it on in the router: it needs no port mapping")
	}
	return ok(name, "no public address; not needed")
}

// global6 reports whether a multiaddr has an IPv6 address that is routed in the Internet.
func global6(address string) bool {
	parts := strings.Split(address, "/")
	if len(parts) < 3 || parts[1] != "ip6" {
		return false
	}
	ip, err := netip.ParseAddr(parts[2])
	return err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// Asked judges what a peer answered when it was asked to connect to this node's public addresses. That it did not try, as
// when it was asked too often, says nothing of this node.
func Asked(peer string, answers []p2p.DialBack, ports []string) Check {
	name := "seen by " + peer
	var good, bad, untried []string
	for _, a := range answers {
		text := a.Address
		if a.Reason != "" && a.Reach != p2p.ReachPublic {
			text += " (" + a.Reason + ")"
		}
		switch a.Reach {
		case p2p.ReachPublic:
			good = append(good, text)
		case p2p.ReachPrivate:
			bad = append(bad, text)
		default: // for instance because it was asked too often
			untried = append(untried, text)
		}
	}
	switch {
	case len(answers) == 0:
		return ok(name, "this node has no public address that it could try")
	case len(good) == 0 && len(bad) == 0:
		return ok(name, "it did not try "+few(untried))
	case len(good) == 0:
		return warn(name, "it got through to none of "+few(bad), through(ports))
	case len(bad) > 0:
		return ok(name, fmt.Sprintf("it got through to %s, not to %s", few(good), few(bad)))
	}
	return ok(name, "it got through to "+few(good))
}
