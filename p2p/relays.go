package p2p

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
)

const (
	// relayBuffer is the copy buffer of a relayed connection: 64 KiB moves half again as much as the default of 2 KiB.
	relayBuffer = 64 << 10
	// relayChoice is how many members are offered as relays at a time, relayPoll how often one is looked for at least.
	relayChoice = 4
	relayPoll   = 5 * time.Second
	// greetWithin is how long a relay waits for the hello of a member that wants a place.
	greetWithin = 2 * time.Second
)

// seekRelays has the library look for relays now. Left to itself it would first spend a quarter of a minute on finding out
// that a machine without a public address cannot be reached.
func (h *Host) seekRelays() error {
	own, err := h.host.Network().InterfaceListenAddresses()
	if err != nil || slices.ContainsFunc(own, isPublic) {
		return nil
	}
	emitter, err := h.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		return err
	}
	defer emitter.Close()
	return emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityUnknown})
}

// relays offers members as relays, once there are some that others can reach. The channel is closed when all are offered.
func (h *Host) relays(ctx context.Context, count int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo)
	h.start(func() {
		defer close(found)
		changes, cancel := h.events.subscribe()
		defer cancel()
		tick := time.NewTicker(relayPoll)
		defer tick.Stop()
		list := h.relayCandidates(count)
		for len(list) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-h.ctx.Done():
				return
			case <-changes:
			case <-tick.C:
			}
			list = h.relayCandidates(count)
		}
		for _, m := range list {
			select {
			case found <- m:
			case <-ctx.Done():
				return
			case <-h.ctx.Done():
				return
			}
		}
	})
	return found
}

// relayCandidates returns connected members that others can reach, the nearest first: those we have dialled at a public
// address, or else those that announce one and no relay.
func (h *Host) relayCandidates(count int) []peer.AddrInfo {
	var dialled, announced []peer.AddrInfo
	latency := make(map[peer.ID]time.Duration)
	for _, m := range h.members.connected(maxMembers) {
		path, _ := h.pathTo(m.ID)
		if path != Direct {
			continue
		}
		h.members.with(m.ID, func(m *member) { latency[m.id] = m.latency })
		switch {
		case slices.ContainsFunc(h.host.Network().ConnsToPeer(m.ID), dialledOutside):
			dialled = append(dialled, m)
		case slices.ContainsFunc(m.Addrs, isPublic) && !slices.ContainsFunc(m.Addrs, isCircuit):
			announced = append(announced, m)
		}
	}
	list := dialled
	if len(list) == 0 {
		list = announced
	}
	slices.SortFunc(list, func(a, b peer.AddrInfo) int { return cmp.Compare(latency[a.ID], latency[b.ID]) })
	return list[:min(len(list), count, relayChoice)]
}

// dialledOutside reports whether we opened the connection to a public address.
func dialledOutside(c network.Conn) bool {
	return c.Stat().Direction == network.DirOutbound && isPublic(c.RemoteMultiaddr())
}

// serveRelay passes traffic on between members, without the library's limits of 128 KiB and two minutes.
func (h *Host) serveRelay() (*relay.Relay, error) {
	resources := relay.DefaultResources()
	resources.Limit = nil
	resources.BufferSize = relayBuffer
	resources.MaxReservationsPerIP = resources.MaxReservations
	return relay.New(h.host, relay.WithResources(resources), relay.WithACL(relayGate{h}))
}

// A relayGate lets members that have greeted us use the relay. Strangers within their time get through to members, so that
// an invitation works when whoever issued it is behind a NAT; their circuit ends with their connection to us.
type relayGate struct{ h *Host }

func (g relayGate) AllowReserve(id peer.ID, _ multiaddr.Multiaddr) bool {
	return g.h.awaitMember(id)
}

func (g relayGate) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	return g.h.member(to) && (g.h.member(from) || g.h.gater.strangers.pending(from, time.Now()))
}

// awaitMember gives a peer that the gate admits some time to greet us: it has our hello and may ask before we have its.
func (h *Host) awaitMember(id peer.ID) bool {
	changes, cancel := h.events.subscribe()
	defer cancel()
	limit := time.NewTimer(greetWithin)
	defer limit.Stop()
	for h.gater.admit(id) == nil {
		if h.member(id) {
			return true
		}
		select {
		case _, open := <-changes:
			if !open {
				return false
			}
		case <-limit.C:
			return false
		case <-h.ctx.Done():
			return false
		}
	}
	return false
}

func (h *Host) member(id peer.ID) bool { return h.gater.admit(id) == nil && h.members.met(id) }
