package storage

import (
	"context"
	"errors"
	"slices"

	"cairn/share"
)

// A growth is what is being stored for a peer and may not be counted yet: it is within the quota beside what is counted.
type growth struct {
	bytes   int64
	changed chan struct{} // closed when bytes gets less
}

// growWithin stores something if the quota allows it: take does. fixed is what it needs beside shares and the leases on indexes. Others
// may store for the same peer at the same time, so that the store can write them together.
func (c *conn) growWithin(ctx context.Context, fixed int64, shares []share.WholeShare, adds []share.StorageIndex, take func() error) error {
	if c.server.options.Quota == nil {
		return take()
	}
	most, exact, err := c.cost(ctx, fixed, shares, adds)
	if err != nil {
		return err
	}
	release, err := c.reserve(ctx, most, 0)
	if errors.Is(err, share.ErrQuota) {
		var bytes int64
		if bytes, err = exact(); err == nil {
			release, err = c.reserve(ctx, bytes, 0)
		}
	}
	if err != nil {
		return err
	}
	defer release()
	return take()
}

// cost returns at most how many bytes the peer uses more afterwards, and what finds out more exactly, at the price of a look at
// what is held.
func (c *conn) cost(ctx context.Context, fixed int64, shares []share.WholeShare, adds []share.StorageIndex) (most int64, exact func() (int64, error), err error) {
	indexes := slices.Clone(adds)
	most = fixed
	for _, s := range shares {
		most += int64(len(s.Data))
		indexes = append(indexes, s.Index)
	}
	if accounter, ok := c.server.store.(share.Accounter); ok && len(indexes) > 0 {
		leases, err := accounter.LeaseCost(ctx, string(c.peer), indexes)
		if err != nil {
			return 0, nil, err
		}
		most += leases
	}
	return most, func() (int64, error) {
		held, err := c.server.store.Numbers(ctx, indexes[len(adds):])
		if err != nil {
			return 0, err
		}
		bytes := most
		for i, s := range shares {
			if slices.Contains(held[i].Numbers, s.Number) {
				bytes -= int64(len(s.Data))
			}
		}
		return bytes, nil
	}, nil
}

// reserve counts bytes for the peer until they are released, or returns a *share.QuotaError. Where they do not fit beside what is being
// stored at the moment, which may be counted twice meanwhile, it waits for that. The quota is exceeded by its marginPart if need be, at most
// by the margin.
func (c *conn) reserve(ctx context.Context, bytes, margin int64) (release func(), err error) {
	for {
		others, err := c.tryReserve(ctx, bytes, margin)
		if err == nil {
			return func() { c.server.growing.release(c.peer, bytes) }, nil
		}
		if others == nil || !errors.Is(err, share.ErrQuota) {
			return nil, err
		}
		select {
		case <-others:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// tryReserve is reserve without waiting: with its error it returns what is closed when less is being stored, nil where nothing is.
func (c *conn) tryReserve(ctx context.Context, bytes, margin int64) (others <-chan struct{}, err error) {
	defer c.server.growing.lock(c.peer)()
	others = c.server.growing.under(c.peer)
	if err := c.mayHave(ctx, bytes, margin); err != nil {
		return others, err
	}
	c.server.growing.add(c.peer, bytes)
	return nil, nil
}
