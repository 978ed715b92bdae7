package p2p

import (
	"context"
	"io"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"

	"cairn/internal/awake"
)

const (
	// clockEvery is how often the clock is looked at; a gap longer than pausedFor means that the machine or the process
	// was stopped, or the clock set.
	clockEvery = 2 * time.Second
	pausedFor  = 6 * time.Second
	// checksAtOnce bounds how many connections are tried at a time.
	checksAtOnce = 32
	// spreadAfter is how long news of addresses are gathered before the members are told, spreadEvery how often at most.
	spreadAfter = 500 * time.Millisecond
	spreadEvery = 3 * time.Second
)

// watchClock notices that this process was stopped, or the machine asleep or moved to another network: most connections are
// dead by then.
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
		if gone, news := h.interfaces.look(); len(gone) > 0 || news {
			h.moved(gone)
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
	h.checkConns(h.host.Network().Conns(), h.cfg.AnswerWithin)
	h.members.hurry(time.Now())
	h.kick()
}

// checkConns closes every connection on which the peer does not answer in time; when it was the last one, the dialler then
// connects anew.
func (h *Host) checkConns(conns []network.Conn, within time.Duration) {
	slots := make(chan struct{}, checksAtOnce)
	for _, c := range conns {
		h.start(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := h.checkConn(c, within); err != nil && h.ctx.Err() == nil {
				h.log.Debug("closing a dead connection", "peer", serverID(c.RemotePeer()).Short(), "address", c.RemoteMultiaddr(), "error", err)
				c.Close()
			}
		})
	}
}

// checkConn has the peer send some bytes back over one of several connections.
func (h *Host) checkConn(c network.Conn, within time.Duration) error {
	ctx, cancel := awake.WithTimeout(h.ctx, within)
	defer cancel()
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "check"))
	if err != nil {
		return err
	}
	defer s.Reset()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := multistream.SelectProtoOrFail(protocol.ID(ping.ID), s); err != nil {
		return err
	}
	var bytes [ping.PingSize]byte
	if _, err := s.Write(bytes[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(s, bytes[:])
	return err
}

// checkOthers looks after the older connections to a peer with which a new one came up: the peer may have lost them.
func (h *Host) checkOthers(c network.Conn) {
	older := slices.DeleteFunc(slices.Clone(h.host.Network().ConnsToPeer(c.RemotePeer())), func(other network.Conn) bool {
		return other.ID() == c.ID()
	})
	h.checkConns(older, h.cfg.AnswerWithin)
}

// moved runs when the addresses of this machine's interfaces changed.
func (h *Host) moved(gone []net.IP) {
	h.log.Info("the addresses of this machine changed", "gone", gone)
	h.sight.forget()
	h.router.look()
	var check []network.Conn
	for _, c := range h.host.Network().Conns() {
		if ip, err := manet.ToIP(c.LocalMultiaddr()); err == nil && slices.ContainsFunc(gone, ip.Equal) {
			h.start(func() { c.Close() }) // may wait for what cannot be sent any more
		} else {
			check = append(check, c)
		}
	}
	h.checkConns(check, h.cfg.AnswerWithin)
	h.members.hurry(time.Now())
	h.kick()
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
