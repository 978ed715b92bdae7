package storage

import (
	"context"
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// serveAsk answers questions one after the other.
func (c *conn) serveAsk() error {
	for {
		kind, n, err := c.next()
		if err != nil {
			return err
		}
		if err := c.question(kind, n); err != nil {
			return err
		}
	}
}

// question answers one question. Its error ends the stream.
func (c *conn) question(kind wire.Kind, n int) error {
	ctx, cancel := context.WithTimeout(c.server.ctx, c.server.options.Timeout)
	defer cancel()
	switch kind {
	case wire.KindNumbers:
		m, err := wire.Receive[wire.Numbers](c.in, n)
		if err != nil {
			return err
		}
		return c.numbers(ctx, m)
	case wire.KindUploads:
		m, err := wire.Receive[wire.Uploads](c.in, n)
		if err != nil {
			return err
		}
		progress, err := c.uploads(ctx, m)
		return c.answer(progress, err)
	case wire.KindRenew:
		m, err := wire.Receive[wire.Renew](c.in, n)
		if err != nil {
			return err
		}
		return c.answer(wire.Done{}, c.leaseWithin(ctx, m.Indexes, func() error {
			return c.server.store.Renew(ctx, m.Indexes, m.LeaseOf(string(c.peer), time.Now()))
		}))
	case wire.KindSpace:
		if _, err := wire.Receive[wire.Space](c.in, n); err != nil {
			return err
		}
		offer, err := c.space(ctx)
		return c.answer(offer, err)
	case wire.KindUsage:
		if _, err := wire.Receive[wire.Usage](c.in, n); err != nil {
			return err
		}
		standing, err := c.standing(ctx)
		return c.answer(standing, err)
	case wire.KindRecheck:
		m, err := wire.Receive[wire.Recheck](c.in, n)
		if err != nil {
			return err
		}
		rechecked, err := c.recheck(ctx, m)
		return c.answer(rechecked, err)
	case wire.KindForgo:
		m, err := wire.Receive[wire.Forgo](c.in, n)
		if err != nil {
			return err
		}
		return c.answer(wire.Done{}, c.forgo(ctx, m))
	}
	return unexpectedKind(kind)
}

func (c *conn) numbers(ctx context.Context, m wire.Numbers) error {
	held, err := c.server.store.Numbers(ctx, m.Indexes)
	if err == nil && len(held) != len(m.Indexes) {
		err = fmt.Errorf("the store gave %d answers to %d indexes", len(held), len(m.Indexes))
	}
	if err != nil {
		return c.fail(err)
	}
	entries := make([]wire.HeldEntry, len(held))
	for i, h := range held {
		entries[i].Root = h.Root
		entries[i].Numbers = make([]byte, len(h.Numbers))
		for j, number := range h.Numbers {
			entries[i].Numbers[j] = byte(number)
		}
	}
	for _, part := range wire.SplitHeld(entries) {
		if err := c.send(part); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) uploads(ctx context.Context, m wire.Uploads) (wire.Progress, error) {
	resumer, ok := c.server.store.(share.Resumer)
	if !ok {
		return wire.Progress{}, nil
	}
	progress, err := resumer.Uploads(ctx, string(c.peer), m.ID)
	if err != nil {
		return wire.Progress{}, err
	}
	var out wire.Progress
	for _, p := range progress {
		out.Entries = append(out.Entries, wire.ProgressEntry{Number: p.Number, Blocks: p.Blocks, Index: p.Index})
	}
	return out, nil
}

func (c *conn) space(ctx context.Context) (wire.Offer, error) {
	spacer, ok := c.server.store.(share.Spacer)
	if !ok {
		return wire.Offer{}, fmt.Errorf("%w: the store does not tell its space", share.ErrDenied)
	}
	space, err := spacer.Space(ctx)
	return wire.Offer{Offered: max(space.Offered, 0), Used: max(space.Used, 0), Free: max(space.Free, 0)}, err
}
