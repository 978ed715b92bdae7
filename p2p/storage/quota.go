package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"cairn/p2p/wire"
	"cairn/share"
)

// A Quota says how much each peer may store with a Server. It is safe for concurrent use and answers at once: it is asked
// for each block of an upload of unknown size. share.Accounter knows what the peer has.
type Quota interface {
	// Standing returns what the peer's account uses of the store and how much it may use. Its error, such as one that
	// wraps share.ErrDenied, refuses everything that needs space.
	Standing(ctx context.Context, peer share.ServerID) (share.Standing, error)
}

// mayHave returns a *share.QuotaError when the peer may not have so many bytes beside those that are counted for it: its quota, and a part
// of that, the margin at most.
func (c *conn) mayHave(ctx context.Context, asked, margin int64) error {
	if c.server.options.Quota == nil {
		return nil
	}
	standing, err := c.counted(ctx)
	if err != nil {
		return err
	}
	if standing.Limit != share.NoLimit {
		standing.Limit += min(margin, standing.Limit/marginPart)
	}
	return standing.Check(asked)
}

// counted returns the standing of the peer, with what is being stored for it at the moment.
func (c *conn) counted(ctx context.Context) (share.Standing, error) {
	// In this order: what is stored in between counts twice, not never.
	growing := c.server.growing.bytes(c.peer)
	standing, err := c.server.options.Quota.Standing(ctx, c.peer)
	standing.Used += growing
	return standing, err
}

// createWithin begins an upload if the quota allows it. The store counts the upload once it is there, without what it
// had of it before; meanwhile nothing else is counted for the peer.
func (c *conn) createWithin(ctx context.Context, u share.Upload) (share.Writer, error) {
	if c.server.options.Quota == nil {
		return c.server.store.Create(ctx, u)
	}
	defer c.server.growing.lock(c.peer)()
	before, err := c.counted(ctx)
	if err == nil {
		err = before.Check(0)
	}
	if err != nil {
		return nil, err
	}
	writer, err := c.server.store.Create(ctx, u)
	if err != nil {
		return nil, err
	}
	after, err := c.counted(ctx)
	if err == nil {
		err = after.Check(0)
	}
	if err == nil {
		return writer, nil
	}
	_ = writer.Close() // an upload that was resumed stays, another one is forgotten
	if quota, ok := errors.AsType[*share.QuotaError](err); ok && before.Used < after.Used {
		quota.Used, quota.Asked = before.Used, after.Used-before.Used
	}
	return nil, err
}

// leaseWithin adds leases if the quota allows it: take does.
func (c *conn) leaseWithin(ctx context.Context, indexes []share.StorageIndex, take func() error) error {
	accounter, ok := c.server.store.(share.Accounter)
	if c.server.options.Quota == nil || !ok {
		return take()
	}
	cost, err := accounter.LeaseCost(ctx, string(c.peer), indexes)
	if err != nil {
		return err
	}
	if cost == 0 {
		return take()
	}
	defer c.server.growing.lock(c.peer)()
	if cost, err = accounter.LeaseCost(ctx, string(c.peer), indexes); err != nil {
		return err
	}
	if err := c.mayHave(ctx, cost, 0); err != nil {
		return err
	}
	return take()
}

// standing answers how the account of the peer stands.
func (c *conn) standing(ctx context.Context) (wire.Standing, error) {
	if quota := c.server.options.Quota; quota != nil {
		s, err := quota.Standing(ctx, c.peer)
		return wire.Standing{Used: max(s.Used, 0), Limit: max(s.Limit, share.NoLimit)}, err
	}
	accounter, ok := c.server.store.(share.Accounter)
	if !ok {
		return wire.Standing{}, fmt.Errorf("%w: the store keeps no account", share.ErrDenied)
	}
	used, err := accounter.UsageOf(ctx, string(c.peer))
	return wire.Standing{Used: max(used, 0), Limit: share.NoLimit}, err
}

// peerLocks has one lock for each peer that needs it at the moment, and counts what is being stored for the peer.
type peerLocks struct {
	mu    sync.Mutex
	peers map[share.ServerID]*peerLock
}

type peerLock struct {
	sync.Mutex
	users  int // who have it or wait for it, and who store something; guarded by the mutex of peerLocks, as is what follows
	growth growth
}

func newPeerLocks() peerLocks { return peerLocks{peers: make(map[share.ServerID]*peerLock)} }

// use counts a user in. Its caller holds the mutex.
func (l *peerLocks) use(peer share.ServerID) *peerLock {
	p := l.peers[peer]
	if p == nil {
		p = &peerLock{growth: growth{changed: make(chan struct{})}}
		l.peers[peer] = p
	}
	p.users++
	return p
}

// leave counts a user out. Its caller holds the mutex.
func (l *peerLocks) leave(peer share.ServerID, p *peerLock) {
	if p.users--; p.users == 0 {
		delete(l.peers, peer)
	}
}

// lock waits for the lock of a peer and returns what gives it back.
func (l *peerLocks) lock(peer share.ServerID) (unlock func()) {
	l.mu.Lock()
	p := l.use(peer)
	l.mu.Unlock()
	p.Lock()
	return func() {
		p.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leave(peer, p)
	}
}

// bytes returns how much is being stored for a peer.
func (l *peerLocks) bytes(peer share.ServerID) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[peer]; p != nil {
		return p.growth.bytes
	}
	return 0
}

// add counts what is going to be stored for a peer, until release.
func (l *peerLocks) add(peer share.ServerID, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.use(peer).growth.bytes += bytes
}

// release ends an add.
func (l *peerLocks) release(peer share.ServerID, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[peer]
	p.growth.bytes -= bytes
	close(p.growth.changed)
	p.growth.changed = make(chan struct{})
	l.leave(peer, p)
}

// under returns what is closed when less is being stored for a peer, nil where nothing is.
func (l *peerLocks) under(peer share.ServerID) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[peer]; p != nil && p.growth.bytes > 0 {
		return p.growth.changed
	}
	return nil
}
