package storage

import (
	"context"
	"fmt"

	"cairn/p2p/wire"
	"cairn/share"
)

// forgo ends leases of the peer that asks, and of nobody else.
func (c *conn) forgo(ctx context.Context, m wire.Forgo) error {
	releaser, ok := c.server.store.(share.Releaser)
	if !ok {
		return fmt.Errorf("%w: the store keeps leases until they end", share.ErrDenied)
	}
	return releaser.Release(ctx, string(c.peer), m.Indexes)
}

// Release implements share.Releaser for the leases of this node, whatever owner is given. The error wraps share.ErrVersion when the peer does
// not know the question, and share.ErrDenied when its store keeps leases until they end.
func (c *Client) Release(ctx context.Context, _ string, indexes []share.StorageIndex) error {
	for len(indexes) > 0 {
		batch := indexes[:min(len(indexes), wire.MaxBatch)]
		indexes = indexes[len(batch):]
		err := c.question(ctx, wire.Forgo{Indexes: batch}, func(in *wire.Reader) error {
			_, err := wire.Answer[wire.Done](in)
			return err
		})
		if err != nil {
			return c.wrap("end leases", err)
		}
	}
	return nil
}
