package p2p

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libconnmgr "github.com/libp2p/go-libp2p/p2p/net/connmgr"
)

const (
	// inUseTag protects connections over which something was carried within the last usedFor.
	inUseTag = "cairn-in-use"
	usedFor  = time.Minute
	// newFor is how long a connection stays whether it is of use or not.
	newFor = 30 * time.Second
)

// spare is how many connections stay beyond Keep: of members that lookups met.
func spare(keep int) int { return max(8, keep/4) }

// newConnManager returns the manager that parts with members that nothing is carried to, when there are many more than
// the host keeps. It leaves alone and does not count what is protected, which is half of Keep when there can be too many.
func newConnManager(keep int) (*libconnmgr.BasicConnMgr, error) {
	return libconnmgr.NewConnManager(keep/2+spare(keep), keep+2*spare(keep), libconnmgr.WithGracePeriod(newFor))
}

// ConnManager keeps others, the DHT above all, from protecting connections by the dozen: whom to stay connected to is for
// the host to say.
func (g *gatedHost) ConnManager() connmgr.ConnManager { return connmgr.NullConnMgr{} }

// inUse keeps the connection to a peer to which a stream is opened, and returns where to note that something is carried
// over it; nil where that is no reason to keep it, since greetings go over all of them, and for an unknown peer.
func (h *Host) inUse(s network.Stream) (used *atomic.Int64) {
	if s.Protocol() == h.protocol(helloName) || s.Protocol() == h.protocol(clockName) {
		return nil
	}
	id := s.Conn().RemotePeer()
	h.members.with(id, func(m *member) {
		m.used.Store(time.Now().UnixNano())
		used = &m.used
		h.host.ConnManager().Protect(id, inUseTag)
	})
	return used
}

// sortOut chooses which connections stay however many there are, gives up those that were used once and are not any more, and
// closes those that are needless.
func (h *Host) sortOut(now time.Time) {
	stay, leave := h.members.kept(h.cfg.Keep)
	for _, id := range stay {
		h.host.ConnManager().Protect(id, keepTag)
	}
	for _, id := range leave {
		h.host.ConnManager().Unprotect(id, keepTag)
	}
	for _, id := range h.host.Network().Peers() {
		idle, needed := false, true
		h.members.with(id, func(m *member) {
			needed = m.kept || !m.up
			if idle = now.Sub(time.Unix(0, m.used.Load())) > usedFor; idle {
				h.host.ConnManager().Unprotect(id, inUseTag)
			}
		})
		if !idle {
			continue
		}
		conns := h.host.Network().ConnsToPeer(id)
		if !needed && !slices.ContainsFunc(conns, func(c network.Conn) bool { return !ownOld(c, now) }) {
			for _, c := range conns { // a lookup made it; the peer has to have room for those that want to stay
				_ = c.CloseWithError(network.ConnGarbageCollected)
			}
			continue
		}
		for _, c := range h.needless(conns, now) {
			c.Close()
		}
	}
}

// spared reports whether a connection ended because one side has many: the peer is there, and lets us in again.
func spared(c network.Conn) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := c.NewStream(ctx) // which says why it ended
	if err == nil {
		s.Reset()
		return false
	}
	end, ok := errors.AsType[*network.ConnError](err)
	return ok && end.ErrorCode == network.ConnGarbageCollected
}

// ownOld reports whether this host opened a connection, and some time ago.
func ownOld(c network.Conn, now time.Time) bool {
	return c.Stat().Direction == network.DirOutbound && now.Sub(c.Stat().Opened) > newFor
}

// needless returns the connections that this host opened beside another one which the peer prefers as well: two that dial each
// other at the same moment get two. Of holes that both sides punched neither is the one who opened them, so they are left.
func (h *Host) needless(conns []network.Conn, now time.Time) (list []network.Conn) {
	conns = slices.DeleteFunc(slices.Clone(conns), func(c network.Conn) bool { return c.IsClosed() || isCircuit(c.RemoteMultiaddr()) })
	if len(conns) < 2 || slices.ContainsFunc(conns, h.paths.isPunched) {
		return nil
	}
	best := slices.MinFunc(conns, func(a, b network.Conn) int {
		return cmp.Or(-cmp.Compare(a.ConnState().Transport, b.ConnState().Transport), // TCP before QUIC
			cmp.Compare(opener(a), opener(b)), a.Stat().Opened.Compare(b.Stat().Opened))
	})
	for _, c := range conns {
		if c != best && ownOld(c, now) {
			list = append(list, c)
		}
	}
	return list
}

func opener(c network.Conn) peer.ID {
	if c.Stat().Direction == network.DirOutbound {
		return c.LocalPeer()
	}
	return c.RemotePeer()
}
