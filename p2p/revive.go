package p2p

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
)

const (
	// reviveAddresses is how many addresses of a silent peer are tried at a time.
	reviveAddresses = 4
	// reviveWithin is what a peer that is alive gets to answer on a connection on which it was silent.
	reviveWithin = time.Second
	reviveEvery  = 10 * time.Second
	// reviveAtOnce bounds how many peers are tried at a time: to a machine that is overloaded everybody seems silent, and a
	// handshake with each of them would not help it.
	reviveAtOnce = 8
)

// A dialer finds the transport for an address; swarm.Swarm is one.
type dialer interface {
	TransportForDialing(a multiaddr.Multiaddr) transport.Transport
}

// reviveSilent tries every peer that falls silent on a fresh connection, until the host closes. A connection dies without
// notice when a router forgets it or gets a new address, and would be waited on for most of a minute; a process that is
// stopped does not answer on a fresh one either, and keeps the connection it has.
func (h *Host) reviveSilent() {
	changes, cancel := h.events.subscribe()
	defer cancel()
	slots := make(chan struct{}, reviveAtOnce)
	for {
		select {
		case <-h.ctx.Done():
			return
		case e, open := <-changes:
			if !open {
				return
			}
			if id, err := peer.Decode(string(e.Peer.ID)); err == nil && e.Change == Unresponsive {
				h.start(func() {
					for h.members.mute(id) {
						slots <- struct{}{}
						h.revive(id)
						<-slots
						sleep(h.ctx, reviveEvery, nil)
					}
				})
			}
		}
	}
}

// revive closes the dead connections to a silent peer that answers on a fresh one, so that the dialler makes another.
func (h *Host) revive(id peer.ID) {
	if h.answersAnew(id) && h.ctx.Err() == nil && h.members.mute(id) {
		h.checkConns(h.host.Network().ConnsToPeer(id), reviveWithin)
	}
}

// answersAnew reports whether the peer shakes hands at one of its addresses.
func (h *Host) answersAnew(id peer.ID) bool {
	transports, ok := h.host.Network().(dialer)
	if !ok {
		return false
	}
	ctx, cancel := awake.WithTimeout(network.WithForceDirectDial(h.ctx, "revive"), h.cfg.DialTimeout)
	defer cancel()
	addresses := slices.DeleteFunc(h.members.info(id).Addrs, func(a multiaddr.Multiaddr) bool {
		return transports.TransportForDialing(a) == nil
	})
	addresses = addresses[:min(len(addresses), reviveAddresses)]
	answers := make(chan bool, len(addresses))
	for _, a := range addresses {
		h.start(func() {
			c, err := transports.TransportForDialing(a).Dial(ctx, a, id)
			if err == nil {
				c.Close()
			}
			answers <- err == nil
		})
	}
	for range addresses {
		select {
		case alive := <-answers:
			if alive {
				return true
			}
		case <-h.ctx.Done():
			return false
		}
	}
	return false
}
