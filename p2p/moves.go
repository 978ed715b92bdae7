package p2p

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// clockEvery is how often the clock is looked at; a gap longer than pausedFor means that the machine or the process
	// was stopped, or the clock set.
	clockEvery = 2 * time.Second
	pausedFor  = 6 * time.Second
	// pingsAtOnce bounds how many peers are asked at a time whether they are still there.
	pingsAtOnce = 32
	// spreadAfter is how long news of addresses are gathered before the members are told, spreadEvery how often at most.
	spreadAfter = 500 * time.Millisecond
	spreadEvery = 3 * time.Second
)

// watchClock notices that this process was stopped, or the machine asleep: most connections are dead by then.
func (h *Host) watchClock() {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if paused(last, now) {
			h.log.Info("was stopped for a while, or the clock was set", "before", last.Round(0), "now", now.Round(0))
			h.resumed()
		}
		last = now
	}
}

// paused reports whether more than a look at the clock lies between two looks. The monotonic clock stands still while the
// machine sleeps, and the other one jumps.
func paused(last, now time.Time) bool {
	return now.Sub(last) > clockEvery+pausedFor || now.Round(0).Sub(last.Round(0)).Abs() > clockEvery+pausedFor
}

// resumed finds out which connections survived, and tries everybody else at once.
func (h *Host) resumed() {
	h.checkPeers(h.host.Network().Peers())
	h.members.hurry(time.Now())
	h.kick()
}

// checkPeers parts with every peer that does not answer in time; the dialler then connects anew.
func (h *Host) checkPeers(ids []peer.ID) {
	slots := make(chan struct{}, pingsAtOnce)
	for _, id := range ids {
		h.start(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if !h.alive(id) && h.ctx.Err() == nil {
				h.host.Network().ClosePeer(id)
			}
		})
	}
}

func (h *Host) alive(id peer.ID) bool {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(network.WithNoDial(h.ctx, "alive"), "alive"), h.cfg.AnswerWithin)
	defer cancel()
	select {
	case r := <-ping.Ping(ctx, h.host, id):
		return r.Error == nil
	case <-ctx.Done():
		return false
	}
}

// moved runs when this node's own addresses changed.
func (h *Host) moved(e event.EvtLocalAddressesUpdated) {
	gone, news := h.interfaces.changed()
	h.log.Debug("own addresses changed", "removed", len(e.Removed), "interfaces lost", len(gone), "new", news)
	if len(gone) == 0 && !news {
		return
	}
	h.sight.forget()
	for _, c := range h.host.Network().Conns() {
		if ip, err := manet.ToIP(c.LocalMultiaddr()); err == nil && slices.ContainsFunc(gone, ip.Equal) {
			c.Close()
		}
	}
	h.checkPeers(h.host.Network().Peers())
	h.members.hurry(time.Now())
	h.kick()
}

// interfaces remembers the addresses of this machine.
type interfaces struct {
	list []net.IP
}

// changed returns the addresses that are gone since the last call, and whether there are new ones.
func (i *interfaces) changed() (gone []net.IP, news bool) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, false
	}
	var now []net.IP
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			now = append(now, n.IP)
		}
	}
	for _, ip := range i.list {
		if !slices.ContainsFunc(now, ip.Equal) {
			gone = append(gone, ip)
		}
	}
	news = i.list != nil && slices.ContainsFunc(now, func(ip net.IP) bool { return !slices.ContainsFunc(i.list, ip.Equal) })
	i.list = now
	return gone, news
}

// identified runs when a peer said, on a new connection or because it changed, where it listens.
func (h *Host) identified(id peer.ID) {
	if !h.members.attended(id) {
		return
	}
	conns := h.host.Network().ConnsToPeer(id)
	if h.members.addresses(id, h.host.Peerstore().Addrs(id), h.reachedAt(conns)) {
		h.spread()
	}
}

// spread greets the members soon, because there is news of addresses. In large grids the hellos that are due anyway tell it.
func (h *Host) spread() {
	if len(h.host.Network().Peers()) > scaleAbove || !h.spreading.CompareAndSwap(false, true) {
		return
	}
	h.start(func() {
		sleep(h.ctx, spreadAfter, nil)
		h.members.greetAll()
		sleep(h.ctx, spreadEvery, nil)
		h.spreading.Store(false)
	})
}
