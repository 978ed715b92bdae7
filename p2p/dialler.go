package p2p

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
	"cairn/share"
)

const (
	dialsAtOnce = 16
	saveEvery   = 5 * time.Second
	saveAtLeast = 10 * time.Minute
	partedRetry = 500 * time.Millisecond
)

// Learn tells the host of addresses (full multiaddrs with /p2p/ID) at which members may be found. Whatever is not such an
// address is ignored. A peer that never answers is soon forgotten.
func (h *Host) Learn(addresses ...string) { h.learn(told, addresses) }

// LearnPeer is Learn for the form in which libp2p speaks of a peer.
func (h *Host) LearnPeer(info peer.AddrInfo) { h.meet(told, info) }

func (h *Host) learn(from source, addresses []string) {
	for _, text := range addresses {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			h.log.Warn("not the address of a peer", "address", shorten(text), "error", err)
			continue
		}
		h.meet(from, *info)
	}
}

func (h *Host) meet(from source, info peer.AddrInfo) {
	if h.gater.admit(info.ID) == nil && h.members.learn(info, from, time.Now()) {
		h.kick()
	}
}

func shorten(text string) string { return text[:min(len(text), 200)] }

// kick makes the dialler look at the table again.
func (h *Host) kick() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// keepConnected dials whoever is due until the host closes.
func (h *Host) keepConnected() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		}
		dial, next := h.members.due(time.Now(), dialsAtOnce, h.cfg.Keep)
		for _, info := range dial {
			h.start(func() { h.dial(info) })
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// dial tries to reach a peer where it was last, then where the finder says it is now.
func (h *Host) dial(info peer.AddrInfo) {
	err := h.connect(info)
	if err != nil {
		h.members.settled(info.ID) // that the finder knows more is not worth waiting for
		if fresh := h.find(info); len(fresh.Addrs) > 0 {
			h.members.learn(fresh, told, time.Now())
			err = h.connect(fresh)
		}
	}
	if err != nil && h.ctx.Err() == nil {
		h.log.Debug("cannot reach peer", "peer", serverID(info.ID).Short(), "error", err)
	}
	h.members.dialled(info.ID, err, time.Now(), h.cfg.RetryMax)
	h.kick()
}

func (h *Host) connect(info peer.AddrInfo) error {
	if len(info.Addrs) == 0 {
		return fmt.Errorf("%w: no address is known", share.ErrUnavailable)
	}
	ctx, cancel := awake.WithTimeout(h.ctx, h.cfg.DialTimeout)
	defer cancel()
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID) // the table has its own
	}
	err := h.host.Connect(ctx, info)
	if dial, ok := errors.AsType[*swarm.DialError](err); ok && errors.Is(dial.Cause, swarm.ErrGaterDisallowedConnection) {
		return denied(err)
	}
	return dialReason(err)
}

// dialReason shortens what the library says of a failed dial to the reason for each address.
func dialReason(err error) error {
	dial, ok := errors.AsType[*swarm.DialError](err)
	if !ok || len(dial.DialErrors) == 0 {
		return err
	}
	var reasons []string
	for _, a := range dial.DialErrors[:min(len(dial.DialErrors), 4)] {
		reasons = append(reasons, fmt.Sprintf("%s: %.200v", a.Address, a.Cause))
	}
	return fmt.Errorf("%w: %s", share.ErrUnavailable, strings.Join(reasons, "; "))
}

// find asks the finder for addresses that were not tried yet.
func (h *Host) find(tried peer.AddrInfo) peer.AddrInfo {
	finder := h.finder.Load()
	if finder == nil || h.ctx.Err() != nil {
		return peer.AddrInfo{}
	}
	ctx, cancel := awake.WithTimeout(h.ctx, h.cfg.DialTimeout)
	defer cancel()
	found, err := (*finder).FindPeer(ctx, tried.ID)
	if err != nil {
		return peer.AddrInfo{}
	}
	return peer.AddrInfo{ID: tried.ID, Addrs: cut(without(found.Addrs, tried.Addrs...))}
}

// offerAddresses puts the addresses the table knows where a dial on demand finds them.
func (h *Host) offerAddresses(id peer.ID) {
	h.host.Peerstore().AddAddrs(id, h.members.info(id).Addrs, peerstore.TempAddrTTL)
}

// parted runs when a connection ended; spared says that it was one too many.
func (h *Host) parted(id peer.ID, spared bool) {
	if h.host.Network().Connectedness(id) != network.NotConnected {
		return
	}
	h.host.ConnManager().Unprotect(id, keepTag)
	h.host.ConnManager().Unprotect(id, inUseTag)
	h.gater.strangers.gone(id)
	wait := partedRetry
	if h.host.ID() > id {
		wait *= 3
	}
	now := time.Now()
	p, wasUp := h.members.disconnect(id, spared, now, now.Add(wait+rand.N(partedRetry)))
	if wasUp {
		if err := h.gater.admit(id); err != nil { // Recheck looks only at who is connected, and at who is known to be away
			h.members.refuse(id, err, now)
		}
		h.report(Down, id, p, "the connection ended")
	}
	if h.host.Network().Connectedness(id) != network.NotConnected {
		h.welcome(id) // it came back in between
	}
	h.kick()
}

// keepBook writes the book soon after something worth remembering happened, and when the host closes.
func (h *Host) keepBook() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	_, saved := h.members.snapshot()
	last := time.Now()
	save := func() {
		list, version := h.members.snapshot()
		if err := h.book.save(list); err != nil {
			h.log.Warn("the list of known members is not saved", "error", err)
		}
		saved, last = version, time.Now()
	}
	for {
		select {
		case <-h.ctx.Done():
			save()
			return
		case <-tick.C:
			if h.members.changedSince(saved) || time.Since(last) > saveAtLeast {
				save()
			}
		}
	}
}

// reachedAt returns the address at which we dialled the peer, nil when it dialled us. A direct one is preferred; where a
// hole was punched nobody else gets through.
func (h *Host) reachedAt(conns []network.Conn) (at multiaddr.Multiaddr) {
	for _, c := range conns {
		if c.Stat().Direction != network.DirOutbound || h.paths.isPunched(c) {
			continue
		}
		if !isCircuit(c.RemoteMultiaddr()) {
			return c.RemoteMultiaddr()
		}
		at = c.RemoteMultiaddr()
	}
	return at
}
