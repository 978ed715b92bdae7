package p2p

import (
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"
)

// punchAgain are the pauses after which another hole is tried for a peer that is reached through a relay. The first attempt, of
// the library when the relayed connection comes up, is early: one side may not know its outside address yet. Routers forget what
// failed attempts left in them after two minutes.
var punchAgain = [...]time.Duration{
	2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 3 * time.Minute, 10 * time.Minute, time.Hour,
}

// punchTimeout bounds a direct dial, which goes before, and each of three attempts. The library's ten seconds for each are
// long for packets that a router drops.
const punchTimeout = 3 * time.Second

// A libp2pHost is what the library's host has beside the interface.
type libp2pHost interface {
	IDService() identify.IDService
	AllAddrs() []multiaddr.Multiaddr
}

// servePunch starts hole punching. The library's own switch would not let us try again.
func (h *Host) servePunch() (*holepunch.Service, error) {
	inner, ok := h.host.(libp2pHost)
	if !ok {
		return nil, errors.New("hole punching: the host does not tell its addresses")
	}
	return holepunch.NewService(h.host, inner.IDService(), h.punchAddresses, holepunch.WithTracer(punchTracer{h}), holepunch.WithAddrFilter(punchFilter{h.paths}),
		holepunch.DirectDialTimeout(punchTimeout))
}

// A punchTracer hears of the attempts to punch a hole.
type punchTracer struct{ h *Host }

// Trace implements the library's interface. It is called before the dial of an attempt, and after it.
func (t punchTracer) Trace(e *holepunch.Event) {
	t.h.paths.Trace(e)
	if begin, ok := e.Evt.(*holepunch.StartHolePunchEvt); ok {
		t.h.ports.expect(begin.RemoteAddrs)
	}
}

// A punchFilter has the first hole for a peer tried over TCP, which serves better than QUIC, and the next ones over both.
type punchFilter struct{ paths *paths }

// FilterLocal and FilterRemote implement the library's interface: for the addresses that the peer is told, and those it tells.
func (f punchFilter) FilterLocal(id peer.ID, list []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return f.filter(id, list)
}

// FilterRemote is like FilterLocal.
func (f punchFilter) FilterRemote(id peer.ID, list []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return f.filter(id, list)
}

func (f punchFilter) filter(id peer.ID, list []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	tcp := keep(list, func(a multiaddr.Multiaddr) bool { return dialClass(a) == 0 })
	if len(tcp) == 0 || f.paths.punchFailed(id) {
		return list
	}
	return tcp
}

// punchAddresses returns the public addresses at which others may see this node, reachable or not.
func (h *Host) punchAddresses() []multiaddr.Multiaddr {
	var list []multiaddr.Multiaddr
	if inner, ok := h.host.(libp2pHost); ok {
		list = inner.AllAddrs()
	}
	outside := h.sight.external()
	return keep(multiaddr.Unique(slices.Concat(outside, list, alike(outside, h.host.Network().ListenAddresses()))), isPublic)
}

// alike guesses where others see the ports for QUIC, over which nobody was called while TCP does: a router that keeps the
// number of a port for TCP, as most do, keeps it for UDP.
func alike(outside, listening []multiaddr.Multiaddr) (list []multiaddr.Multiaddr) {
	for _, seen := range outside {
		if len(seen) != 2 || seen[1].Code() != multiaddr.P_TCP {
			continue
		}
		port := seen[1].Value()
		for _, own := range listening {
			if len(own) == 3 && own[0].Code() == seen[0].Code() && own[1].Code() == multiaddr.P_UDP && own[1].Value() == port &&
				slices.ContainsFunc(listening, func(a multiaddr.Multiaddr) bool { return samePort(a, seen) }) {
				list = append(list, multiaddr.Join(seen[:1], own[1:]))
			}
		}
	}
	return list
}

// punchRelayed tries again and again to reach a peer directly that came in through a relay, while it is.
func (h *Host) punchRelayed(c network.Conn) {
	if h.punch == nil || c.Stat().Direction != network.DirInbound || !isCircuit(c.RemoteMultiaddr()) {
		return // the library has the side that is called do this
	}
	h.start(func() {
		for _, pause := range punchAgain {
			sleep(h.ctx, pause, nil)
			if path, _ := h.pathTo(c.RemotePeer()); c.IsClosed() || path != Relayed || h.ctx.Err() != nil {
				return
			}
			h.tryPunch(c.RemotePeer())
		}
	})
}

// tryPunch has the library punch a hole, unless it waits for an outside address still.
func (h *Host) tryPunch(id peer.ID) {
	if !slices.Contains(h.host.Mux().Protocols(), holepunch.Protocol) {
		return
	}
	done := make(chan error, 1)
	go func() { done <- h.punch.DirectConnect(id) }() // ends with the service
	select {
	case err := <-done:
		h.log.Debug("tried to punch a hole", "peer", serverID(id).Short(), "error", err)
	case <-h.ctx.Done():
	}
}
