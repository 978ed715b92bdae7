package storage

import (
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// serveBatch takes and gives small shares, one batch after the other.
func (c *conn) serveBatch() error {
	for {
		kind, n, err := c.next()
		if err != nil {
			return err
		}
		if err := c.batchRequest(kind, n); err != nil {
			return err
		}
	}
}

// batchRequest answers one request. Its error ends the stream.
func (c *conn) batchRequest(kind wire.Kind, n int) error {
	store, ok := c.server.store.(share.Batcher)
	if !ok {
		return unexpectedKind(kind)
	}
	switch kind {
	case wire.KindPut:
		m, err := wire.Receive[wire.Put](c.in, n)
		if err != nil {
			return err
		}
		return c.putBatch(store, m)
	case wire.KindFetch:
		m, err := wire.Receive[wire.Fetch](c.in, n)
		if err != nil {
			return err
		}
		return c.fetchBatch(store, m)
	}
	return unexpectedKind(kind)
}

func (c *conn) putBatch(store share.Batcher, m wire.Put) error {
	body, free, err := c.body(m.Body)
	if err != nil {
		return err
	}
	defer free()
	ctx, cancel := c.limited()
	defer cancel()
	shares, rest, err := wire.ParseShares(body, m.Shares)
	if err == nil {
		err = wire.End(rest)
	}
	if err != nil {
		return err
	}
	var errs []error
	err = c.growWithin(ctx, 0, shares, nil, func() (err error) {
		errs, err = store.Put(ctx, shares, m.LeaseOf(string(c.peer), time.Now()))
		if err == nil && len(errs) != len(shares) {
			err = fmt.Errorf("the store gave %d answers to %d shares", len(errs), len(shares))
		}
		return err
	})
	if err != nil {
		return c.fail(err)
	}
	c.stored(shares, errs)
	stored, failures := wire.FailuresOf(errs)
	c.server.stats.failures.Add(int64(stored.Failed))
	if err := c.send(stored); err != nil {
		return err
	}
	for _, f := range failures {
		if err := c.send(f); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) fetchBatch(store share.Batcher, m wire.Fetch) error {
	body, free, err := c.body(m.Body())
	if err != nil {
		return err
	}
	defer free()
	ctx, cancel := c.limited()
	defer cancel()
	indexes, rest, err := wire.ParseIndexes(body, m.Count)
	if err == nil {
		err = wire.End(rest)
	}
	if err != nil {
		return err
	}
	found, err := store.Fetch(ctx, indexes)
	if err != nil {
		return c.fail(err)
	}
	var all []share.WholeShare
	total := 0
	for _, shares := range found {
		for _, s := range shares {
			if len(all) < share.MaxBatchShares && total+len(s.Data) <= share.MaxBatchBytes {
				all, total = append(all, s), total+len(s.Data)
			}
		}
	}
	answer := wire.AppendShares(make([]byte, 0, wire.SharesSize(all)), all)
	return c.sendBody(wire.Fetched{Shares: len(all), Body: len(answer)}, answer)
}
