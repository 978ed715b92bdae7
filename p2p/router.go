package p2p

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// mappedFor is how long the router is asked to forward a port, renewEvery how often it is asked again.
	mappedFor  = 10 * time.Minute
	renewEvery = time.Minute
	// lookAgain is the pause after no router answered that forwards ports.
	lookAgain = 10 * time.Minute
)

// router has the router forward the ports that the node listens on: by NAT-PMP, and where that is not answered by UPnP. Both
// are looked for again when the machine's addresses change. It takes the place of the library's port mapping, which looks
// once when it starts, and whose NAT-PMP does not find the router.
type router struct {
	network network.Network
	wake    chan struct{} // the node listens elsewhere, or the machine is in another network

	mu     sync.Mutex
	upnp   basichost.NATManager
	natpmp *natPMP // the router that answered, nil when none did
	mapped map[forwarded]netip.AddrPort
	closed bool
}

// A forwarded port is one of this machine.
type forwarded struct {
	transport string // "tcp" or "udp"
	port      uint16
}

func newRouter() *router {
	return &router{wake: make(chan struct{}, 1), mapped: make(map[forwarded]netip.AddrPort)}
}

// start is the constructor the library wants.
func (r *router) start(n network.Network) basichost.NATManager {
	r.network = n
	return r
}

// look has the router asked now.
func (r *router) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run keeps the ports forwarded until the context ends, and then takes the forwarding back. It begins when look is called.
func (r *router) run(ctx context.Context) {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.drop()
			return
		case <-r.wake:
			r.drop()
		case <-timer.C:
		}
		if r.renew(ctx) {
			timer.Reset(renewEvery)
		} else {
			r.lookForUPnP()
			timer.Reset(lookAgain)
		}
	}
}

// renew asks by NAT-PMP for every port, and reports whether a router answered.
func (r *router) renew(ctx context.Context) bool {
	at, err := findNATPMP(ctx)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.natpmp = nil
		clear(r.mapped)
		return false
	}
	mapped := make(map[forwarded]netip.AddrPort)
	for _, a := range r.network.ListenAddresses() {
		f, ok := forwardable(a)
		if !ok {
			continue
		}
		if port, err := at.forward(ctx, f, mappedFor); err == nil {
			mapped[f] = netip.AddrPortFrom(at.outside, port)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.natpmp, r.mapped = at, mapped
	return true
}

// lookForUPnP has the library look for a router, unless it has found one.
func (r *router) lookForUPnP() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.upnp != nil && r.upnp.HasDiscoveredNAT() {
		return
	}
	if r.upnp != nil {
		r.upnp.Close()
	}
	r.upnp = basichost.NewNATManager(r.network)
}

// drop takes back what the router was asked for, as far as it can still be reached.
func (r *router) drop() {
	r.mu.Lock()
	at, mapped, upnp := r.natpmp, r.mapped, r.upnp
	r.natpmp, r.mapped, r.upnp = nil, make(map[forwarded]netip.AddrPort), nil
	r.mu.Unlock()
	if at != nil {
		ctx, cancel := context.WithTimeout(context.Background(), natPMPFirst)
		defer cancel()
		for f := range mapped {
			_, _ = at.forward(ctx, f, 0) // otherwise it ends by itself
		}
	}
	if upnp != nil {
		upnp.Close()
	}
}

// Close implements the library's interface.
func (r *router) Close() error {
	r.mu.Lock()
	upnp := r.upnp
	r.closed, r.upnp = true, nil
	r.mu.Unlock()
	if upnp != nil {
		return upnp.Close()
	}
	return nil
}

// HasDiscoveredNAT implements the library's interface: whether a router answered.
func (r *router) HasDiscoveredNAT() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.natpmp != nil || r.upnp != nil && r.upnp.HasDiscoveredNAT()
}

// GetMapping implements the library's interface: the external address that is forwarded to a listen address, nil when there is
// none.
func (r *router) GetMapping(listen multiaddr.Multiaddr) multiaddr.Multiaddr {
	f, ok := forwardable(listen)
	if !ok {
		return nil
	}
	r.mu.Lock()
	outside, found := r.mapped[f]
	upnp := r.upnp
	r.mu.Unlock()
	if !found {
		if upnp == nil {
			return nil
		}
		return upnp.GetMapping(listen)
	}
	a, err := manet.FromIP(outside.Addr().AsSlice())
	if err != nil {
		return nil
	}
	port, err := multiaddr.NewComponent(f.transport, portText(outside.Port()))
	if err != nil {
		return nil
	}
	return multiaddr.Join(a, port, listen[2:])
}

// forwardable returns the port of a listen address to which a router of IPv4 can forward one.
func forwardable(a multiaddr.Multiaddr) (f forwarded, ok bool) {
	if len(a) < 2 || a[0].Code() != multiaddr.P_IP4 || manet.IsIPLoopback(a) {
		return f, false
	}
	f.transport = a[1].Protocol().Name
	raw := a[1].RawValue()
	if f.transport != "tcp" && f.transport != "udp" || len(raw) != 2 {
		return f, false
	}
	f.port = uint16(raw[0])<<8 | uint16(raw[1])
	return f, f.port != 0
}
