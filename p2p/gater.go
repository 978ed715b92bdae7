package p2p

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/share"
)

// How many peers that the gate refuses may be connected at a time, and for how long, so that they get to read why.
const (
	refusedAtOnce = 8
	refusedFor    = 10 * time.Second
)

// A gater keeps connections to and from refused peers away. An inbound one passes while a small budget has room: every
// stream on it is reset with network.StreamGated, which tells the peer the reason, where a closed connection would
// tell it nothing.
type gater struct {
	gate Gate

	mu sync.Mutex
	// refused holds when each refused peer was last let in to be told.
	refused map[peer.ID]time.Time
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func newGater(gate Gate) *gater {
	return &gater{gate: gate, refused: make(map[peer.ID]time.Time)}
}

// admit returns nil for a member and why not otherwise.
func (g *gater) admit(id peer.ID) error {
	if g.gate == nil {
		return nil
	}
	return g.gate.Admit(share.ServerID(id.String()))
}

func (g *gater) InterceptPeerDial(id peer.ID) bool { return g.admit(id) == nil }

func (g *gater) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool { return true }

func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (g *gater) InterceptSecured(direction network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	if g.admit(id) == nil {
		return true
	}
	return direction == network.DirInbound && g.tolerate(id, time.Now())
}

func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

func (g *gater) tolerate(id peer.ID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, since := range g.refused {
		if now.Sub(since) > refusedFor {
			delete(g.refused, other)
		}
	}
	if _, again := g.refused[id]; again || len(g.refused) >= refusedAtOnce {
		return false
	}
	g.refused[id] = now
	return true
}
