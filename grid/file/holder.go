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
	server  share.Server
	waiting atomic.Int32 // requests under way

	mu      sync.Mutex    // guards what follows
	heard   time.Time     // when it last gave something
	service time.Duration // moving average of the time for one block, those ahead of it not counted; 0 while unknown
	avoided time.Time     // until when others are preferred
	penalty time.Duration
}

// gave notes that the server has given something, which took that long behind others that it was asked for before.
func (p *peer) gave(took time.Duration, ahead int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	service := took / time.Duration(ahead+1)
	if p.service == 0 {
		p.service = service
	}
	p.service += (service - p.service) / 8
	p.heard, p.avoided, p.penalty = time.Now(), time.Time{}, 0
}

// wait returns how long another request is likely to take, 0 where nothing is known.
func (p *peer) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.service * time.Duration(p.waiting.Load()+1)
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
