package file

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"cairn/share"
)

const (
	// minPenalty is how long a server is avoided that was late or failed; it doubles each time this happens again, up
	// to maxPenalty, until the server gives something.
	minPenalty = 2 * time.Second
	maxPenalty = time.Minute
)

// A peer is what the reads of a file know of one of its servers.
type peer struct {
	server share.Server

	mu      sync.Mutex    // guards what follows
	waiting int           // requests under way
	busy    time.Time     // since when there are any
	heard   time.Time     // when it last gave something
	service time.Duration // moving average of the time from one answer to the next while it has requests; 0 while unknown
	avoided time.Time     // until when others are preferred
	penalty time.Duration
}

// begin notes a request to the server.
func (p *peer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		p.busy = time.Now()
	}
	p.waiting++
}

// end notes that a request is over.
func (p *peer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
}

// gave notes that the server has given something. Requests may be answered in another order than they were made in, so
// what one of them took says little of the server; how often answers come says it.
func (p *peer) gave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.average(p.silence())
	p.heard, p.avoided, p.penalty = time.Now(), time.Time{}, 0
}

// gaveNothing notes that the server did not answer as long as anybody waited for it.
func (p *peer) gaveNothing() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if silence := p.silence(); silence > p.service {
		p.average(silence)
	}
}

// silence returns for how long the server has had requests and given nothing. p.mu is held.
func (p *peer) silence() time.Duration {
	if p.heard.After(p.busy) {
		return time.Since(p.heard)
	}
	return time.Since(p.busy)
}

func (p *peer) average(service time.Duration) {
	if p.service == 0 {
		p.service = service
	}
	p.service = max(p.service+(service-p.service)/8, 1)
}

// wait returns how long another request is likely to take, 0 where nothing is known, and whether the server has ever
// given anything.
func (p *peer) wait() (wait time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.service * time.Duration(p.waiting+1), !p.heard.IsZero()
}

// load returns the number of requests under way.
func (p *peer) load() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// avoid has other servers preferred for a while.
func (p *peer) avoid() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.avoided) {
		return // many requests that were late together are one reason
	}
	p.penalty = min(max(2*p.penalty, minPenalty), maxPenalty)
	p.avoided = now.Add(p.penalty)
}

func (p *peer) isAvoided(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.avoided)
}

// silentSince returns since when a request that began at start has been waiting for a sign of life.
func (p *peer) silentSince(start time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard.After(start) {
		return p.heard
	}
	return start
}

// A holder is one share on one server.
type holder struct {
	*peer
	number share.Number

	// bad counts the blocks of this share that did not verify or that the server does not have. It only orders holders:
	// a holder of one bad block may be the only one of another.
	bad atomic.Int32
	// told is set once the server was told that something it sent of this share does not verify.
	told atomic.Bool

	opening chan struct{} // has one element while the share is being opened

	mu     sync.Mutex // guards what follows
	reader share.Reader
	closed bool
}

func newHolder(p *peer, number share.Number) *holder {
	return &holder{peer: p, number: number, opening: make(chan struct{}, 1)}
}

// read fills p from offset off of the share, opening it at first.
func (h *holder) read(ctx context.Context, index share.StorageIndex, p []byte, off int64) error {
	r, err := h.opened(ctx, index)
	if err != nil {
		return err
	}
	n, err := r.ReadAt(ctx, p, off)
	if err == nil && n < len(p) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// opened returns the reader of the share. Requests that come while one of them opens it wait no longer than they want.
func (h *holder) opened(ctx context.Context, index share.StorageIndex) (share.Reader, error) {
	if r, err := h.get(); r != nil || err != nil {
		return r, err
	}
	select {
	case h.opening <- struct{}{}:
		defer func() { <-h.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r, err := h.get(); r != nil || err != nil {
		return r, err
	}
	r, err := h.server.Store.Open(ctx, index, h.number)
	if err != nil {
		return nil, err
	}
	return h.set(r)
}

func (h *holder) get() (share.Reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, share.ErrClosed
	}
	return h.reader, nil
}

func (h *holder) set(r share.Reader) (share.Reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		r.Close()
		return nil, share.ErrClosed
	}
	h.reader = r
	return r, nil
}

func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.reader != nil {
		h.reader.Close()
		h.reader = nil
	}
}

// failed notes that the share could not be read.
func (h *holder) failed(err error) {
	for _, lasting := range []error{share.ErrNotFound, share.ErrCorrupt, io.ErrUnexpectedEOF} {
		if errors.Is(err, lasting) {
			h.bad.Add(1)
			return
		}
	}
	h.avoid() // it may well be back in a moment
}

// demerit is 0 for a holder that nothing speaks against, and higher the more speaks against it.
func (h *holder) demerit(now time.Time) int {
	demerit := int(min(h.bad.Load(), 8))
	if h.isAvoided(now) {
		demerit += 2
	}
	return demerit
}
