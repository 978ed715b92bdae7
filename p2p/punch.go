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
	return holepunch.NewService(h.host, inner.IDService(), h.punchAddresses, holepunch.WithTracer(punchTracer{h}),
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

// punchAddresses returns the public addresses at which others may see this node, reachable or not.
func (h *Host) punchAddresses() []multiaddr.Multiaddr {
	var list []multiaddr.Multiaddr
	if inner, ok := h.host.(libp2pHost); ok {
		list = inner.AllAddrs()
	}
	return keep(multiaddr.Unique(append(h.sight.external(), list...)), isPublic)
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
