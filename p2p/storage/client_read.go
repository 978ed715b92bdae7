package storage

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"cairn/p2p/wire"
	"cairn/share"
)

// spread is how many reads may be under way on every stream before another stream is opened.
const spread = 4

// readPool holds the streams on which shares are read.
type readPool struct {
	opening chan struct{} // held while a stream is opened

	mu      sync.Mutex // guards streams
	streams []*readStream
}

// choose returns the stream with the fewest reads, and whether another one should be opened. Outdated streams are left to
// finish what they are at.
func (p *readPool) choose(limit int) (best *readStream, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	least, usable := 0, 0
	for _, s := range p.streams {
		if s.end.Err() != nil {
			continue
		}
		if outdated(s.stream) {
			if s.load() == 0 {
				s.kill(errLost)
			}
			continue
		}
		usable++
		if n := s.load(); best == nil || n < least {
			best, least = s, n
		}
	}
	return best, best == nil || least >= spread && usable < limit
}

func (p *readPool) add(s *readStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = append(p.streams, s)
}

func (p *readPool) remove(s *readStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.streams {
		if p.streams[i] == s {
			p.streams = append(p.streams[:i], p.streams[i+1:]...)
			return
		}
	}
}

// readStream returns a stream to read on.
func (c *Client) readStream(ctx context.Context) (*readStream, error) {
	s, more := c.read.choose(c.options.ReadStreams)
	if !more {
		return s, nil
	}
	if s != nil { // another stream would help, but nobody waits for it
		select {
		case c.read.opening <- struct{}{}:
		default:
			return s, nil
		}
	} else {
		select {
		case c.read.opening <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-c.read.opening }()
	if s, more = c.read.choose(c.options.ReadStreams); !more {
		return s, nil
	}
	fresh, err := c.openReadStream(ctx)
	if err != nil && s != nil {
		return s, nil
	}
	return fresh, err
}

func (c *Client) openReadStream(ctx context.Context) (*readStream, error) {
	stream, err := c.stream(ctx, Read)
	if err != nil {
		return nil, err
	}
	s := newReadStream(c, stream)
	if !c.start(s.send, s.receive) {
		_ = stream.Reset()
		return nil, share.ErrClosed
	}
	c.read.add(s)
	return s, nil
}

// do has one request answered. A stream that ended before the answer began is replaced once: the peer closes streams
// that were idle for long, and a stream that broke says nothing about the next one.
func (c *Client) do(ctx context.Context, f *fetch) error {
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return c.cause(ctx, err)
		}
		s, err := c.readStream(ctx)
		if err != nil {
			return c.cause(ctx, err)
		}
		err = s.do(ctx, f)
		if attempt > 0 || !s.lost(err) || ctx.Err() != nil {
			return c.cause(ctx, err)
		}
		f.reset()
	}
}

// Open implements share.Store. It asks the peer once, for the length of the share.
func (c *Client) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	f, err := newFetch(wire.Open{Index: index, Number: number}, nil)
	if err == nil {
		err = c.do(ctx, f)
	}
	if err != nil {
		return nil, c.wrap(fmt.Sprintf("open share %d", number), err)
	}
	return &reader{client: c, index: index, number: number, size: f.size}, nil
}

// A reader reads one share of the peer.
type reader struct {
	client *Client
	index  share.StorageIndex
	number share.Number
	size   int64
	closed atomic.Bool
}

// Size implements share.Reader.
func (r *reader) Size() int64 { return r.size }

// Close implements share.Reader.
func (r *reader) Close() error {
	r.closed.Store(true)
	return nil
}

// ReadAt implements share.Reader. Many calls at a time share few streams without waiting for each other's answers.
func (r *reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := r.readAt(ctx, p, off)
	if err != nil && err != io.ErrUnexpectedEOF {
		err = r.client.wrap(fmt.Sprintf("read share %d", r.number), err)
	}
	return n, err
}

func (r *reader) readAt(ctx context.Context, p []byte, off int64) (int, error) {
	var short error
	switch {
	case r.closed.Load():
		return 0, share.ErrClosed
	case off < 0:
		return 0, fmt.Errorf("offset %d: %w", off, share.ErrTooLarge)
	case off > r.size || int64(len(p)) > r.size-off:
		p, short = p[:max(0, min(int64(len(p)), r.size-off))], io.ErrUnexpectedEOF
	}
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+wire.MaxRead)]
		f, err := newFetch(wire.Read{Index: r.index, Number: r.number, Offset: off + int64(done), Length: len(part)}, part)
		if err == nil {
			err = r.client.do(ctx, f)
		}
		if err != nil {
			return done, err // what the failed part has got may still be arriving
		}
		done += len(part)
	}
	return done, short
}
