package p2p

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// maxObservers bounds whose sight of this node is kept.
	maxObservers = 256
	// answerFor is how long a member's answer to the question whether it gets through counts.
	answerFor = 10 * time.Minute
)

// sight gathers what the library and the peers tell about this node's own addresses.
type sight struct {
	mu sync.Mutex
	// observed is how each peer saw the connection that we opened to it, newest last.
	observed    []observation
	reachable   []multiaddr.Multiaddr
	unreachable []multiaddr.Multiaddr
	relays      []multiaddr.Multiaddr
	// answered are the addresses at which a member got through when it was asked, and when. The library asks each member every
	// two minutes at most, so that in a small grid its own verdict on a new address takes minutes.
	answered map[string]time.Time
}

// An observation is the address at which a peer on another network saw the connection from one of our listening ports.
type observation struct {
	by   peer.ID
	ip   string // of the observer
	seen multiaddr.Multiaddr
}

// busEvents are the library's events that watchReach listens to.
var busEvents = []any{
	new(event.EvtPeerIdentificationCompleted), new(event.EvtHostReachableAddrsChanged),
	new(event.EvtAutoRelayAddrsUpdated),
}

// subscribeBus is called before anything happens on the bus that must not be missed.
func subscribeBus(h host.Host) (event.Subscription, error) {
	return h.EventBus().Subscribe(busEvents, eventbus.BufSize(256), eventbus.Name("cairn"))
}

// watchBus takes in the library's events until the host closes.
func (h *Host) watchBus(sub event.Subscription) {
	defer sub.Close()
	for {
		select {
		case <-h.ctx.Done():
			return
		case e, open := <-sub.Out():
			if !open {
				return
			}
			h.busEvent(e)
		}
	}
}

func (h *Host) busEvent(e any) {
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		h.sight.observe(e, h.host.Network().ListenAddresses())
		h.identified(e.Peer)
	case event.EvtHostReachableAddrsChanged:
		h.sight.verdict(e.Reachable, e.Unreachable)
	case event.EvtAutoRelayAddrsUpdated:
		h.sight.setRelays(e.RelayAddrs)
	}
}

func (r *sight) verdict(reachable, unreachable []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reachable, r.unreachable = slices.Clone(reachable), slices.Clone(unreachable)
}

func (r *sight) setRelays(addresses []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relays = slices.Clone(addresses)
}

// answer notes what a member said that was asked to connect to an address.
func (r *sight) answer(a multiaddr.Multiaddr, reach Reach, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case reach == ReachPublic && r.answered == nil:
		r.answered = map[string]time.Time{a.String(): now}
	case reach == ReachPublic:
		r.answered[a.String()] = now
	case reach == ReachPrivate:
		delete(r.answered, a.String())
	}
}

// confirmed returns the addresses at which members got through, and those where they did not.
func (r *sight) confirmed() (good, bad []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	good = slices.Clone(r.reachable)
	for text, since := range r.answered {
		if time.Since(since) > answerFor {
			delete(r.answered, text)
		} else if a, err := multiaddr.NewMultiaddr(text); err == nil && !containsAddress(good, a) {
			good = append(good, a)
		}
	}
	return good, keep(r.unreachable, func(a multiaddr.Multiaddr) bool { return !containsAddress(good, a) })
}

func (r *sight) relayAddresses() []multiaddr.Multiaddr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.relays)
}

// observe notes what a peer says of the connection between us. Only what we opened tells how a router translates, and
// only what a peer outside sees is of interest.
func (r *sight) observe(e event.EvtPeerIdentificationCompleted, listening []multiaddr.Multiaddr) {
	if e.Conn == nil || e.ObservedAddr == nil || e.Conn.Stat().Direction != network.DirOutbound {
		return
	}
	ip, err := manet.ToIP(e.Conn.RemoteMultiaddr())
	if err != nil || !isPublic(e.Conn.RemoteMultiaddr()) || !isPublic(e.ObservedAddr) {
		return
	}
	local := e.Conn.LocalMultiaddr()
	if !slices.ContainsFunc(listening, func(l multiaddr.Multiaddr) bool { return samePort(l, local) }) {
		return // nobody listens at the port of this connection
	}
	r.note(observation{by: e.Peer, ip: ip.String(), seen: e.ObservedAddr})
}

func (r *sight) note(o observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := transportName(o.seen)
	r.observed = slices.DeleteFunc(r.observed, func(old observation) bool {
		return old.by == o.by && transportName(old.seen) == kind
	})
	if len(r.observed) >= maxObservers {
		r.observed = slices.Delete(r.observed, 0, 1)
	}
	r.observed = append(r.observed, o)
}

// forget drops what was seen, because this node's own addresses changed.
func (r *sight) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observed, r.answered = nil, nil
}

// seen returns the addresses of one kind at which peers outside saw us, by how many peers, and what that says of the
// router in between.
func (r *sight) seen(kind func(multiaddr.Multiaddr) bool, own []multiaddr.Multiaddr) (external []multiaddr.Multiaddr, observers int, nat NAT) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ips []string
	direct := false
	for _, o := range r.observed {
		if !kind(o.seen) {
			continue
		}
		observers++
		if !slices.Contains(ips, o.ip) {
			ips = append(ips, o.ip)
		}
		if !containsAddress(external, o.seen) {
			external = append(external, o.seen)
		}
		direct = direct || slices.ContainsFunc(own, func(a multiaddr.Multiaddr) bool { return sameIP(a, o.seen) })
	}
	switch {
	case direct:
		return external, observers, NATNone
	case len(ips) < 2:
		return external, observers, NATUnknown
	case len(external) == 1:
		return external, observers, NATEndpointIndependent
	default:
		return external, observers, NATEndpointDependent
	}
}

// external returns every address at which a peer outside saw us.
func (r *sight) external() (list []multiaddr.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.observed {
		list = append(list, o.seen)
	}
	return list
}

func samePort(a, b multiaddr.Multiaddr) bool {
	return len(a) > 1 && len(b) > 1 && a[0].Code() == b[0].Code() && a[1].Equal(&b[1])
}

func sameIP(a, b multiaddr.Multiaddr) bool {
	x, errX := manet.ToIP(a)
	y, errY := manet.ToIP(b)
	return errX == nil && errY == nil && x.Equal(y)
}

// transportName returns version of IP and transport, by which addresses are compared.
func transportName(a multiaddr.Multiaddr) string {
	for _, family := range []string{"ip4", "ip6"} {
		for _, transport := range []string{"tcp", "quic-v1"} {
			if isKind(a, transport, family) {
				return family + transport
			}
		}
	}
	return ""
}
