package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"cairn/internal/awake"
	"cairn/p2p/wire"
	"cairn/share"
)

// askPool keeps the streams of one protocol on which questions are asked, one at a time on each.
type askPool struct {
	name  string
	slots chan struct{} // one for each question under way

	mu     sync.Mutex // guards what follows
	idle   []*askStream
	closed bool
}

type askStream struct {
	stream network.Stream
	in     *wire.Reader
	out    []byte
}

func (s *askStream) reset() {
	_ = s.stream.Reset()
	s.in.Free()
}

func (p *askPool) get() *askStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		s := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !outdated(s.stream) {
			return s
		}
		s.reset()
	}
	return nil
}

func (p *askPool) put(s *askStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		s.reset()
		return
	}
	p.idle = append(p.idle, s)
}

func (p *askPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, s := range p.idle {
		s.reset()
	}
	p.idle = nil
}

// question asks one question and reads the answer with answer, which returns the peer's error as it is.
func (c *Client) question(ctx context.Context, m wire.Message, answer func(*wire.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return c.cause(ctx, err)
	}
	if _, limited := ctx.Deadline(); !limited {
		limit, cancel := awake.WithTimeout(ctx, c.options.AskTimeout)
		defer cancel()
		ctx = limit
	}
	return c.onStream(ctx, &c.ask, func(s *askStream) error { return c.exchange(ctx, s, m, answer) })
}

// onStream has an exchange with the peer on a stream of the pool.
func (c *Client) onStream(ctx context.Context, pool *askPool, exchange func(*askStream) error) error {
	select {
	case pool.slots <- struct{}{}:
		defer func() { <-pool.slots }()
	case <-ctx.Done():
		return c.cause(ctx, ctx.Err())
	}
	for {
		s := pool.get()
		kept := s != nil
		if !kept {
			stream, err := c.stream(ctx, pool.name)
			if err != nil {
				return c.cause(ctx, err)
			}
			s = &askStream{stream: stream, in: wire.NewReader(stream)}
		}
		err := exchange(s)
		// The peer may have closed a kept stream at any time; nothing that is asked here does harm when asked twice.
		if kept && broken(err) && ctx.Err() == nil && c.ctx.Err() == nil {
			continue
		}
		return c.cause(ctx, err)
	}
}

// exchange asks and hears on one stream, which it keeps or resets.
func (c *Client) exchange(ctx context.Context, s *askStream, m wire.Message, answer func(*wire.Reader) error) error {
	out, err := wire.Append(s.out[:0], m)
	if err != nil {
		c.ask.put(s)
		return err
	}
	s.out = out
	reset := func() { _ = s.stream.Reset() }
	stop := context.AfterFunc(ctx, reset)
	stopClosed := context.AfterFunc(c.ctx, reset)
	late := awake.AfterFunc(suspectAfter, c.suspect)
	defer late.Stop()
	if _, err = s.stream.Write(out); err == nil {
		err = answer(s.in)
	}
	whole := stop()
	// What a peer says unasked must not be taken for the answer to the next question.
	if stopClosed() && whole && answered(err) && s.in.Buffered() == 0 {
		c.ask.put(s)
	} else {
		s.reset()
	}
	return err
}

// answered reports whether the peer answered, with an error or without.
func answered(err error) bool {
	_, remote := errors.AsType[wire.Error](err)
	return err == nil || remote
}

// broken reports whether an error says that a stream ended without an answer.
func broken(err error) bool { return !answered(err) && !violation(err) }

// Numbers implements share.Store.
func (c *Client) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	out := make([]share.Held, 0, len(indexes))
	for len(indexes) > 0 {
		batch := indexes[:min(len(indexes), wire.MaxBatch)]
		var held []share.Held
		err := c.question(ctx, wire.Numbers{Indexes: batch}, func(in *wire.Reader) (err error) {
			held, err = readHeld(in, batch)
			return err
		})
		if err != nil {
			return nil, c.wrap("ask for shares", err)
		}
		out, indexes = append(out, held...), indexes[len(batch):]
	}
	return out, nil
}

func readHeld(in *wire.Reader, indexes []share.StorageIndex) ([]share.Held, error) {
	out := make([]share.Held, 0, len(indexes))
	for len(out) < len(indexes) {
		m, err := wire.Answer[wire.Held](in)
		if err != nil {
			return nil, err
		}
		if len(m.Entries) > len(indexes)-len(out) {
			return nil, fmt.Errorf("%w: more answers than questions", share.ErrCorrupt)
		}
		for _, e := range m.Entries {
			held := share.Held{Index: indexes[len(out)], Root: e.Root}
			for _, n := range e.Numbers {
				held.Numbers = append(held.Numbers, share.Number(n))
			}
			if len(held.Numbers) == 0 {
				held.Root = nil
			}
			out = append(out, held)
		}
	}
	return out, nil
}

// Renew implements share.Store.
func (c *Client) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	var missing error
	for len(indexes) > 0 {
		batch := indexes[:min(len(indexes), wire.MaxBatch)]
		indexes = indexes[len(batch):]
		err := c.question(ctx, wire.Renew{Indexes: batch, Lease: wire.RunOf(lease, time.Now())}, func(in *wire.Reader) error {
			_, err := wire.Answer[wire.Done](in)
			return err
		})
		if errors.Is(err, share.ErrNotFound) {
			missing = err
		} else if err != nil {
			return c.wrap("renew leases", err)
		}
	}
	return c.wrap("renew leases", missing)
}

// Uploads implements share.Resumer. The owner is always the identity that this node authenticates with.
func (c *Client) Uploads(ctx context.Context, _ string, id share.UploadID) ([]share.Progress, error) {
	var out []share.Progress
	err := c.question(ctx, wire.Uploads{ID: id}, func(in *wire.Reader) error {
		m, err := wire.Answer[wire.Progress](in)
		out = nil
		for _, e := range m.Entries {
			out = append(out, share.Progress{Number: e.Number, Blocks: e.Blocks, Index: e.Index})
		}
		return err
	})
	return out, c.wrap("ask for the progress of an upload", err)
}

// Space implements share.Spacer.
func (c *Client) Space(ctx context.Context) (share.Space, error) {
	var out share.Space
	err := c.question(ctx, wire.Space{}, func(in *wire.Reader) error {
		m, err := wire.Answer[wire.Offer](in)
		out = share.Space{Offered: m.Offered, Used: m.Used, Free: m.Free}
		return err
	})
	return out, c.wrap("ask for space", err)
}

// Standing asks how the account of this node stands with the peer. It returns an error that wraps share.ErrDenied when the
// peer does not tell, and share.ErrVersion when it does not know the question.
func (c *Client) Standing(ctx context.Context) (share.Standing, error) {
	var out share.Standing
	err := c.question(ctx, wire.Usage{}, func(in *wire.Reader) error {
		m, err := wire.Answer[wire.Standing](in)
		out = share.Standing{Used: m.Used, Limit: m.Limit}
		return err
	})
	return out, c.wrap("ask for usage", err)
}
