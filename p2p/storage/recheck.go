package storage

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

const (
	// rechecksAtOnce is how many complaints are looked into at a time, one of each peer.
	rechecksAtOnce = 4
	// complaintsHour is how many bytes are read in an hour because of what a peer complains of and turns out good, complaintsAll because of what
	// all of them do. The complaint that uses them up may read more, which counts against the hours that follow.
	complaintsHour = 64 << 20
	complaintsAll  = 256 << 20
	// complaintsShare is which part of what others leave of complaintsAll a peer may use: however many use up theirs, something is left for the next one.
	complaintsShare = 4
	// complaintLeast is what a complaint counts for that has anything read at all, because requests cost too.
	complaintLeast = 256 << 10
	// complaintPlain is what one counts for where the store does not tell what it read.
	complaintPlain = 1 << 20
)

// A budget is a number of bytes that comes back within an hour.
type budget struct {
	size, left float64
	at         time.Time
}

// has gives back what time has brought, and reports whether anything is left.
func (b *budget) has(now time.Time) bool {
	b.left, b.at = min(b.size, b.left+b.size*max(0, now.Sub(b.at).Hours())), now
	return b.left > 0
}

// complaintBudget bounds what complaints cost that are wrong. It is safe for concurrent use.
type complaintBudget struct {
	mu    sync.Mutex // guards what follows
	all   budget
	peers map[share.ServerID]*budget // those that have not all of it
}

func newComplaintBudget() *complaintBudget {
	return &complaintBudget{all: budget{size: complaintsAll, left: complaintsAll, at: time.Now()}, peers: map[share.ServerID]*budget{}}
}

// check returns an error when nothing is read any more for a peer, or for anybody.
func (x *complaintBudget) check(peer share.ServerID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if !x.all.has(now) {
		return fmt.Errorf("%w: too many complaints of good shares by all members within an hour", share.ErrBusy)
	}
	b := x.peers[peer]
	if b == nil {
		return nil
	}
	if spares := b.has(now); !spares || (complaintsShare-1)*(b.size-b.left) >= x.all.left {
		return fmt.Errorf("%w: too many complaints of good shares within an hour", share.ErrBusy)
	}
	return nil
}

// spend counts what was read for a peer in vain.
func (x *complaintBudget) spend(peer share.ServerID, bytes int64) {
	if bytes == 0 {
		return
	}
	bytes = max(bytes, complaintLeast)
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	b := x.peers[peer]
	if b == nil {
		// What all have bounds how many there are.
		maps.DeleteFunc(x.peers, func(_ share.ServerID, b *budget) bool { return b.has(now) && b.left == b.size })
		b = &budget{size: complaintsHour, left: complaintsHour, at: now}
		x.peers[peer] = b
	}
	b.left -= float64(bytes)
	x.all.left -= float64(bytes)
}

// recheck has the store look for itself whether a share is damaged. It costs about what reading the segment does.
func (c *conn) recheck(ctx context.Context, m wire.Recheck) (wire.Rechecked, error) {
	rechecker, ok := c.server.store.(share.Rechecker)
	if !ok {
		return wire.Rechecked{}, fmt.Errorf("%w: the store does not look into complaints", share.ErrDenied)
	}
	defer c.server.complaints.lock(c.peer)()
	select {
	case c.server.rechecks <- struct{}{}:
		defer func() { <-c.server.rechecks }()
	case <-ctx.Done():
		return wire.Rechecked{}, ctx.Err()
	}
	if err := c.server.complained.check(c.peer); err != nil {
		return wire.Rechecked{}, err
	}
	held, read, err := examine(ctx, rechecker, m)
	if held || err != nil {
		c.server.complained.spend(c.peer, read)
	}
	return wire.Rechecked{Held: held}, err
}

// examine has the store look, and returns about how many bytes it read.
func examine(ctx context.Context, store share.Rechecker, m wire.Recheck) (held bool, read int64, err error) {
	if x, ok := store.(share.Examiner); ok {
		return x.Examine(ctx, m.Index, m.Number, m.Segment)
	}
	held, err = store.Recheck(ctx, m.Index, m.Number, m.Segment)
	return held, complaintPlain, err
}

// Recheck implements share.Rechecker: the peer is asked to look into it. The error wraps share.ErrVersion when the peer does not know the
// question, share.ErrDenied when its store does not look into complaints, and share.ErrBusy when this node complained of too much that is good.
func (c *Client) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	err = c.question(ctx, wire.Recheck{Index: index, Number: number, Segment: max(segment, share.NoSegment)}, func(in *wire.Reader) error {
		m, err := wire.Answer[wire.Rechecked](in)
		held = m.Held
		return err
	})
	return held, c.wrap(fmt.Sprintf("complain of share %d", number), err)
}
