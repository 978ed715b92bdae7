package p2p

import (
	"slices"
	"strings"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"cairn/share"
)

// A Reach says whether peers on other networks can connect to this node.
type Reach string

// The values of a Reach.
const (
	ReachPublic  Reach = "public"  // a member outside connected to it to find out
	ReachPrivate Reach = "private" // no member outside got through
	ReachUnknown Reach = "unknown" // nobody could be asked yet
)

// A NAT says how the router in front of this node translates addresses.
type NAT string

// The values of a NAT.
const (
	NATNone    NAT = "none"    // peers outside see the address of an interface of this machine
	NATUnknown NAT = "unknown" // fewer than two peers said how they see this node
	// NATEndpointIndependent: all peers see the same address, so that holes can be punched.
	NATEndpointIndependent NAT = "endpoint-independent"
	// NATEndpointDependent: each peer sees another address ("symmetric"), so that peers behind such routers need a relay.
	NATEndpointDependent NAT = "endpoint-dependent"
)

// Reachability is what a host knows of how others reach it. It changes while the host runs.
type Reachability struct {
	// Enabled is false where nothing is tried: all listen addresses are on the loopback interface, or it is switched off.
	Enabled bool `json:"enabled"`
	// Overall is the best of Transports.
	Overall    Reach            `json:"overall"`
	Transports []TransportReach `json:"transports"`
	// Router reports whether a router answered that forwards ports when it is asked to (NAT-PMP, UPnP).
	Router bool `json:"router"`
	// Relays are the members that keep a place for relaying to this node, RelayAddresses the addresses there.
	Relays         []share.ServerID `json:"relays"`
	RelayAddresses []string         `json:"relay_addresses"`
	// Relaying reports whether this node relays for others.
	Relaying bool `json:"relaying"`
}

// A TransportReach is the Reachability over one transport and one version of IP.
type TransportReach struct {
	Transport string `json:"transport"` // "tcp" or "quic-v1"
	Family    string `json:"family"`    // "ip4" or "ip6"
	Reach     Reach  `json:"reach"`
	NAT       NAT    `json:"nat"`
	// Listening are the addresses of interfaces, External those that peers outside see or the router forwards, Confirmed
	// those among all of them at which a member got through. All are multiaddrs without /p2p.
	Listening []string `json:"listening"`
	External  []string `json:"external"`
	Confirmed []string `json:"confirmed"`
	// Mapped is the external address that the router forwards to this node because it asked for that; empty when none.
	Mapped string `json:"mapped,omitempty"`
	// Observers is how many peers said how they see this node.
	Observers int `json:"observers"`
}

// Reachability returns what is known at present. It asks nobody: see AskReachable.
func (h *Host) Reachability() Reachability {
	r := Reachability{Enabled: h.cfg.traversal(), Overall: ReachUnknown, Relaying: h.relay != nil}
	r.Router = h.router.HasDiscoveredNAT()
	for _, family := range []string{"ip4", "ip6"} {
		for _, transport := range []string{"tcp", "quic-v1"} {
			t := h.transportReach(transport, family)
			if len(t.Listening) == 0 {
				continue
			}
			r.Transports = append(r.Transports, t)
			if t.Reach == ReachPublic || t.Reach == ReachPrivate && r.Overall == ReachUnknown {
				r.Overall = t.Reach
			}
		}
	}
	for _, a := range h.sight.relayAddresses() {
		r.RelayAddresses = append(r.RelayAddresses, a.String())
		if id, err := a.ValueForProtocol(multiaddr.P_P2P); err == nil && !slices.Contains(r.Relays, share.ServerID(id)) {
			r.Relays = append(r.Relays, share.ServerID(id))
		}
	}
	return r
}

func (h *Host) transportReach(transport, family string) TransportReach {
	t := TransportReach{Transport: transport, Family: family, Reach: ReachUnknown, NAT: NATUnknown}
	kind := func(a multiaddr.Multiaddr) bool { return isKind(a, transport, family) }
	interfaces, _ := h.host.Network().InterfaceListenAddresses()
	interfaces = keep(interfaces, kind)
	t.Listening = texts(interfaces)
	external, observers, nat := h.sight.seen(kind, interfaces)
	t.Observers, t.NAT = observers, nat
	for _, a := range keep(h.host.Network().ListenAddresses(), kind) {
		if mapped := h.router.GetMapping(a); mapped != nil && kind(mapped) {
			t.Mapped = mapped.String()
			external = append(external, mapped)
		}
	}
	t.External = texts(external)
	good, bad := h.sight.confirmed()
	t.Confirmed = texts(keep(good, kind))
	if slices.ContainsFunc(keep(good, kind), func(a multiaddr.Multiaddr) bool { return containsAddress(interfaces, a) }) {
		t.NAT = NATNone
	}
	switch {
	case len(t.Confirmed) > 0:
		t.Reach = ReachPublic
	case slices.ContainsFunc(bad, kind), nat == NATEndpointDependent:
		t.Reach = ReachPrivate
	}
	return t
}

// isKind reports whether the address is of a direct connection over the transport and version of IP.
func isKind(a multiaddr.Multiaddr, transport, family string) bool {
	if len(a) == 0 || isCircuit(a) {
		return false
	}
	if a[0].Protocol().Name != family && !(family == "ip6" && a[0].Code() == multiaddr.P_IP6ZONE) {
		return false
	}
	return slices.ContainsFunc(a, func(c multiaddr.Component) bool { return c.Protocol().Name == transport })
}

func isCircuit(a multiaddr.Multiaddr) bool {
	return slices.ContainsFunc(a, func(c multiaddr.Component) bool { return c.Code() == multiaddr.P_CIRCUIT })
}

// isPublic reports whether a peer on another network can dial the address, if nothing is in between.
func isPublic(a multiaddr.Multiaddr) bool { return !isCircuit(a) && manet.IsPublicAddr(a) }

func keep(list []multiaddr.Multiaddr, wanted func(multiaddr.Multiaddr) bool) []multiaddr.Multiaddr {
	return slices.DeleteFunc(slices.Clone(list), func(a multiaddr.Multiaddr) bool { return !wanted(a) })
}

func texts(list []multiaddr.Multiaddr) []string {
	out := []string{}
	for _, a := range list {
		out = append(out, a.String())
	}
	slices.SortFunc(out, strings.Compare)
	return slices.Compact(out)
}
