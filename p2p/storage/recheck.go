package storage

import (
	"context"
	"fmt"

	"cairn/p2p/wire"
	"cairn/share"
)

// rechecksAtOnce is how many complaints are looked into at a time, one of each peer.
const rechecksAtOnce = 4

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
	held, err := rechecker.Recheck(ctx, m.Index, m.Number, m.Segment)
	return wire.Rechecked{Held: held}, err
}

// Recheck implements share.Rechecker: the peer is asked to look into it. The error wraps share.ErrVersion when the peer does not know the
// question, and share.ErrDenied when its store does not look into complaints.
func (c *Client) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	err = c.question(ctx, wire.Recheck{Index: index, Number: number, Segment: max(segment, share.NoSegment)}, func(in *wire.Reader) error {
		m, err := wire.Answer[wire.Rechecked](in)
		held = m.Held
		return err
	})
	return held, c.wrap(fmt.Sprintf("complain of share %d", number), err)
}
