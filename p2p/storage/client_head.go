package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// Heads implements share.HeadStore.
func (c *Client) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if len(names) == 0 {
		return nil, c.wrap("ask for heads", ctx.Err())
	}
	var held []share.HeldHead
	t := transfer{message: wire.Heads{Names: names, Shares: shares}, patience: c.options.AskTimeout, takes: c.options.ReadTimeout}
	err := c.transfer(ctx, &c.head, t, func(t *transfer) error {
		m, err := wire.Answer[wire.HeldHeads](t.in)
		if err != nil {
			return err
		}
		body, err := t.hear(m.Body)
		if err != nil {
			return err
		}
		held, err = wire.ParseHeldHeads(body, len(names))
		return err
	})
	if err != nil {
		return nil, c.wrap("ask for heads", err)
	}
	return held, nil
}

// SetHead implements share.HeadStore. The owner is always the identity that this node authenticates with.
func (c *Client) SetHead(ctx context.Context, u share.HeadUpdate) error {
	m, body, err := wire.SetHeadOf(u, time.Now())
	if err != nil {
		return c.wrap("set head", err)
	}
	t := transfer{message: m, body: body, patience: c.options.WriteTimeout, takes: c.options.WriteTimeout}
	var conflict error
	err = c.transfer(ctx, &c.head, t, func(t *transfer) error {
		conflict = nil
		kind, n, err := t.in.Next()
		if err != nil {
			return err
		}
		if kind == wire.KindConflict {
			m, err := wire.Receive[wire.Conflict](t.in, n)
			conflict = conflictOf(u.Name, m)
			return err
		}
		_, err = wire.AnswerOf[wire.Done](t.in, kind, n)
		return err
	})
	if err == nil {
		err = conflict
	}
	return c.wrap("set head", err)
}

func conflictOf(name share.Name, m wire.Conflict) error {
	conflict := &share.ConflictError{Name: name}
	if len(m.Record) > 0 {
		conflict.Record = m.Record
	}
	return conflict
}

// unboundedFor is how long a peer that does not know the question for a part of a history is asked for the whole of it.
const unboundedFor = 10 * time.Minute

// History implements share.HeadStore. A peer of an older version gives everything that it holds.
func (c *Client) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	if since == 0 || time.Now().UnixNano() < c.unbounded.Load() {
		return c.history(ctx, name, wire.History{Name: name})
	}
	records, err := c.history(ctx, name, wire.Since{Name: name, Sequence: since})
	if !errors.Is(err, share.ErrVersion) {
		return records, err
	}
	records, err = c.history(ctx, name, wire.History{Name: name})
	if err == nil {
		c.unbounded.Store(time.Now().Add(unboundedFor).UnixNano())
	}
	return records, err
}

func (c *Client) history(ctx context.Context, name share.Name, question wire.Message) ([][]byte, error) {
	var records [][]byte
	t := transfer{message: question, patience: c.options.AskTimeout, takes: c.options.ReadTimeout}
	err := c.transfer(ctx, &c.head, t, func(t *transfer) error {
		m, err := wire.Answer[wire.Records](t.in)
		if err != nil {
			return err
		}
		body, err := t.hear(m.Body)
		if err != nil {
			return err
		}
		records, err = wire.ParseRecords(body, m.Count)
		return err
	})
	if err != nil {
		return nil, c.wrap(fmt.Sprintf("ask for the history of %s", name), err)
	}
	return records, nil
}
