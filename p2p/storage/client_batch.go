package storage

import (
	"context"
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// Put implements share.Batcher. The owner is always the identity that this node authenticates with.
func (c *Client) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	errs := make([]error, len(shares))
	sent, places := make([]share.WholeShare, 0, len(shares)), make([]int, 0, len(shares))
	for i, s := range shares {
		if len(s.Data) > share.MaxWholeShare {
			errs[i] = fmt.Errorf("%w: a share of %d bytes, at most %d", share.ErrTooLarge, len(s.Data), share.MaxWholeShare)
			continue
		}
		sent, places = append(sent, s), append(places, i)
	}
	m, body, err := wire.PutOf(sent, lease, time.Now())
	if err != nil {
		return nil, c.wrap("store shares", err)
	}
	t := transfer{message: m, body: body, patience: c.options.WriteTimeout, takes: c.options.WriteTimeout}
	err = c.transfer(ctx, &c.batch, t, func(t *transfer) error {
		for _, i := range places {
			errs[i] = nil
		}
		return hearStored(t, errs, places)
	})
	if err != nil {
		return nil, c.wrap("store shares", err)
	}
	for _, err := range errs {
		c.noteRefusal(err)
	}
	return errs, nil
}

// hearStored reads the answer to a Put of shares that have these places in errs.
func hearStored(t *transfer, errs []error, places []int) error {
	m, err := wire.Answer[wire.Stored](t.in)
	if err != nil {
		return err
	}
	last := -1
	for left := m.Failed; left > 0; {
		t.wait(t.takes)
		failures, err := wire.Answer[wire.Failures](t.in)
		if err != nil {
			return err
		}
		for _, f := range failures.Entries {
			if f.At <= last || f.At >= len(places) || left == 0 {
				return fmt.Errorf("%w: a failure of share %d of %d", share.ErrCorrupt, f.At, len(places))
			}
			errs[places[f.At]] = f.Err()
			last = f.At
			left--
		}
	}
	return nil
}

// Fetch implements share.Batcher.
func (c *Client) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	var shares []share.WholeShare
	t := transfer{
		message: wire.Fetch{Count: len(indexes)}, body: wire.AppendIndexes(nil, indexes),
		patience: c.options.AskTimeout, takes: c.options.ReadTimeout,
	}
	err := c.transfer(ctx, &c.batch, t, func(t *transfer) error {
		m, err := wire.Answer[wire.Fetched](t.in)
		if err != nil {
			return err
		}
		body, err := t.hear(m.Body)
		if err != nil {
			return err
		}
		if shares, body, err = wire.ParseShares(body, m.Shares); err != nil {
			return err
		}
		return wire.End(body)
	})
	if err != nil {
		return nil, c.wrap("fetch shares", err)
	}
	return sortShares(indexes, shares), nil
}

// sortShares puts shares to the indexes that they were asked for under. It drops what nobody asked for.
func sortShares(indexes []share.StorageIndex, shares []share.WholeShare) [][]share.WholeShare {
	of := make(map[share.StorageIndex][]share.WholeShare)
	for _, s := range shares {
		of[s.Index] = append(of[s.Index], s)
	}
	out := make([][]share.WholeShare, len(indexes))
	for i, index := range indexes {
		out[i] = of[index]
	}
	return out
}
