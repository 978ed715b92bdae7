package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// blockSize is how much is read from the grid at a time.
	blockSize = 256 << 10
	// maxAhead is how many blocks are fetched ahead of somebody who reads one after the other.
	maxAhead = 16
	// fetchers is how many blocks are fetched ahead at a time, over all files.
	fetchers = 16
)

// blocks is a cache of pieces of files. A block that several want is fetched once.
type blocks struct {
	kept *lru.Cache[blockID, []byte]
	slot chan struct{} // one for each block that is fetched ahead

	mu      sync.Mutex // guards what follows, and ahead against a Wait at the same time
	flights map[blockID]*flight
	closed  bool
	ahead   sync.WaitGroup
}

// A blockID names a block of contents that never change.
type blockID struct {
	content *content
	number  int64
}

type flight struct {
	done chan struct{}
	data []byte
	err  error
}

func newBlocks(bytes int64) *blocks {
	kept, err := lru.New[blockID, []byte](int(max(bytes/blockSize, 2*maxAhead)))
	if err != nil {
		panic("vfs: " + err.Error()) // only of a size that is not positive
	}
	return &blocks{kept: kept, slot: make(chan struct{}, fetchers), flights: map[blockID]*flight{}}
}

// close waits for what is fetched ahead. The contents have been closed before.
func (b *blocks) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.ahead.Wait()
	b.kept.Purge()
}

// forget drops the blocks of contents that nobody reads any more.
func (b *blocks) forget(c *content) {
	for _, id := range b.kept.Keys() { // a file may have many more blocks
		if id.content == c {
			b.kept.Remove(id)
		}
	}
}

// A content is an open file of the grid whose bytes never change.
type content struct {
	Reader
	ctx    context.Context // ends when it is closed
	cancel context.CancelFunc

	mu   sync.Mutex // guards what follows
	uses int
}

func newContent(ctx context.Context, r Reader) *content {
	ctx, cancel := context.WithCancel(ctx)
	return &content{Reader: r, ctx: ctx, cancel: cancel, uses: 1}
}

func (c *content) use() *content {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	return c
}

// release closes the content with its last use.
func (c *content) release(b *blocks) {
	c.mu.Lock()
	c.uses--
	last := c.uses == 0
	c.mu.Unlock()
	if last {
		c.cancel()
		b.forget(c)
		_ = c.Close() // a reader has nothing to lose
	}
}

// readAt fills p from offset off; io.EOF says that the content ends first.
func (b *blocks) readAt(ctx context.Context, c *content, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) && off < c.Size() {
		data, err := b.block(ctx, blockID{c, off / blockSize})
		if err != nil {
			return done, err
		}
		n := copy(p[done:], data[off%blockSize:])
		done += n
		off += int64(n)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// block returns a block from the cache or the grid.
func (b *blocks) block(ctx context.Context, id blockID) ([]byte, error) {
	for {
		b.mu.Lock()
		if data, ok := b.kept.Get(id); ok {
			b.mu.Unlock()
			return data, nil
		}
		f, flying := b.flights[id]
		if !flying {
			f = &flight{done: make(chan struct{})}
			b.flights[id] = f
		}
		b.mu.Unlock()
		if !flying {
			b.fetch(ctx, id, f)
			return f.data, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// Somebody else's context may have ended, which says nothing about the block.
		if f.err == nil || !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.data, f.err
		}
	}
}

func (b *blocks) fetch(ctx context.Context, id blockID, f *flight) {
	from := id.number * blockSize
	data := make([]byte, min(blockSize, id.content.Size()-from))
	n, err := id.content.ReadAt(ctx, data, from)
	if n == len(data) {
		f.data = data
		b.kept.Add(id, data)
	} else if err == nil || errors.Is(err, io.EOF) {
		f.err = fmt.Errorf("read at %d: %w", from, io.ErrUnexpectedEOF)
	} else {
		f.err = err
	}
	b.mu.Lock()
	delete(b.flights, id)
	b.mu.Unlock()
	close(f.done)
}

// prefetch begins to fetch the blocks of a range that are not there, as far as there are free slots.
func (b *blocks) prefetch(c *content, from, to int64) {
	for n := from / blockSize; n*blockSize < min(to, c.Size()); n++ {
		id := blockID{c, n}
		select {
		case b.slot <- struct{}{}:
		default:
			return // enough is under way
		}
		if !b.start(id) {
			<-b.slot
		}
	}
}

// start fetches a block in the background unless somebody does already.
func (b *blocks) start(id blockID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, flying := b.flights[id]; flying || b.closed || b.kept.Contains(id) {
		return false
	}
	f := &flight{done: make(chan struct{})}
	b.flights[id] = f
	b.ahead.Go(func() {
		defer func() { <-b.slot }()
		b.fetch(id.content.ctx, id, f)
	})
	return true
}
