package storage

import (
	"errors"
	"fmt"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/head"
)

// serveHead answers questions about heads, and takes new ones, one after the other.
func (c *conn) serveHead() error {
	for {
		kind, n, err := c.next()
		if err != nil {
			return err
		}
		if err := c.headRequest(kind, n); err != nil {
			return err
		}
	}
}

// headRequest answers one request. Its error ends the stream.
func (c *conn) headRequest(kind wire.Kind, n int) error {
	store, ok := c.server.store.(share.HeadStore)
	if !ok {
		return unexpectedKind(kind)
	}
	switch kind {
	case wire.KindHeads:
		m, err := wire.Receive[wire.Heads](c.in, n)
		if err != nil {
			return err
		}
		return c.heads(store, m)
	case wire.KindSetHead:
		m, err := wire.Receive[wire.SetHead](c.in, n)
		if err != nil {
			return err
		}
		return c.setHead(store, m)
	case wire.KindHistory:
		m, err := wire.Receive[wire.History](c.in, n)
		if err != nil {
			return err
		}
		return c.history(store, m.Name, 0)
	case wire.KindSince:
		m, err := wire.Receive[wire.Since](c.in, n)
		if err != nil {
			return err
		}
		return c.history(store, m.Name, m.Sequence)
	}
	return unexpectedKind(kind)
}

func (c *conn) history(store share.HeadStore, name share.Name, since uint64) error {
	ctx, cancel := c.limited()
	defer cancel()
	records, err := store.History(ctx, name, since)
	if err != nil {
		return c.fail(err)
	}
	var body []byte
	for _, r := range records {
		body = wire.AppendRecord(body, r)
	}
	return c.sendBody(wire.Records{Count: len(records), Body: len(body)}, body)
}

func (c *conn) heads(store share.HeadStore, m wire.Heads) error {
	ctx, cancel := c.limited()
	defer cancel()
	held, err := store.Heads(ctx, m.Names, m.Shares)
	if err == nil && len(held) != len(m.Names) {
		err = fmt.Errorf("the store gave %d answers to %d names", len(held), len(m.Names))
	}
	if err != nil {
		return c.fail(err)
	}
	if !m.Shares {
		for i := range held {
			held[i].Shares = nil
		}
	}
	body := wire.AppendHeldHeads(nil, held)
	return c.sendBody(wire.HeldHeads{Body: len(body)}, body)
}

func (c *conn) setHead(store share.HeadStore, m wire.SetHead) error {
	body, free, err := c.body(m.Body)
	if err != nil {
		return err
	}
	defer free()
	ctx, cancel := c.limited()
	defer cancel()
	u, err := m.Update(body, string(c.peer), time.Now())
	if err != nil {
		return err
	}
	if signed, says := head.Signed(u.Record); says {
		u.Retention = signed // whoever hands on the record has no say in it
	}
	err = c.setHeadWithin(ctx, store, u)
	if conflict, ok := errors.AsType[*share.ConflictError](err); ok {
		return c.send(wire.Conflict{Record: conflict.Record})
	}
	if err != nil {
		return c.fail(err)
	}
	c.stored(u.Shares, nil)
	return c.send(wire.Done{})
}
