package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/share"
)

// A gater keeps connections to and from refused peers away. An inbound one passes while the budget for strangers has room:
// every stream on it but those of HandleStranger is reset with network.StreamGated, which tells the peer the reason, where a
// closed connection would tell it nothing. An outbound one passes while Reach wants it.
type gater struct {
	gate      Gate
	strangers *strangers
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func newGater(gate Gate, stay time.Duration) *gater {
	return &gater{gate: gate, strangers: newStrangers(stay)}
}

// admit returns nil for a member and why not otherwise.
func (g *gater) admit(id peer.ID) error {
	if g.gate == nil {
		return nil
	}
	return g.gate.Admit(share.ServerID(id.String()))
}

func (g *gater) InterceptPeerDial(id peer.ID) bool {
	return g.admit(id) == nil || g.strangers.wanted(id)
}

func (g *gater) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool { return true }

func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (g *gater) InterceptSecured(direction network.Direction, id peer.ID, addresses network.ConnMultiaddrs) bool {
	if g.admit(id) == nil || g.strangers.wanted(id) {
		return true
	}
	return direction == network.DirInbound && g.strangers.letIn(id, addresses.RemoteMultiaddr(), time.Now())
}

func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
