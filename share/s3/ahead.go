package s3

import (
	"context"
	"sync"
	"time"
)

// Reading ahead: who reads a large share from end to end gets it with few requests, and who reads a block here and there gets only that.
const (
	spanMax   = 4 << 20 // bytes of one request that reads ahead
	spanGap   = 1 << 20 // how far a read may jump and still go on: readers ask for several blocks at a time, in any order
	streams   = 4       // places of one share at which reading goes on: blocks, and the rows behind them
	spanKept  = time.Minute
	aheadMost = 256 << 20 // bytes that are read ahead for all readers together
)

// A stream is a place at which somebody reads on.
type stream struct {
	next int64 // the offset behind what was asked for
	run  int64 // bytes that were asked for one after the other
	used int64 // when it was used last, as a count
}

// A span is a piece of a share that is on its way, or there and not yet read.
type span struct {
	from   int64
	data   []byte
	left   int // bytes that nobody has read yet
	cancel context.CancelFunc
	timer  *time.Timer

	mu   sync.Mutex // guards what follows
	have int
	err  error
	more chan struct{} // closed when have or err changes
}

func (x *span) end() int64 { return x.from + int64(len(x.data)) }

func (x *span) moved(n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.have, x.err = x.have+n, err
	close(x.more)
	x.more = make(chan struct{})
}

// wait returns when the first n bytes are there, or why they do not come.
func (x *span) wait(ctx context.Context, n int) error {
	for {
		x.mu.Lock()
		have, err, more := x.have, x.err, x.more
		x.mu.Unlock()
		if have >= n || err != nil {
			if have >= n {
				err = nil
			}
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// An ahead reads one large share. It is safe for concurrent use.
type ahead struct {
	store *Store
	fetch func(ctx context.Context, p []byte, off int64, arrived func(n int)) error
	size  int64

	mu      sync.Mutex // guards what follows
	closed  bool
	count   int64
	streams [streams]stream
	spans   []*span
}

// readAt fills p from an offset.
func (a *ahead) readAt(ctx context.Context, p []byte, off int64) error {
	for len(p) > 0 {
		x, n := a.span(p, off)
		if x == nil || !a.copied(ctx, x, p[:n], off) {
			if err := a.fetch(ctx, p[:n], off, nil); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// copied fills p from a span. One that does not arrive may have failed for what was not asked for: it is forgotten.
func (a *ahead) copied(ctx context.Context, x *span, p []byte, off int64) bool {
	at := int(off - x.from)
	if err := x.wait(ctx, at+len(p)); err != nil {
		if ctx.Err() == nil {
			a.drop(x)
		}
		return false
	}
	copy(p, x.data[at:])
	a.taken(x, len(p))
	return true
}

// span returns the span that has the first n bytes of what is asked for, or nil when these are to be fetched by themselves.
func (a *ahead) span(p []byte, off int64) (x *span, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = len(p)
	s := a.stream(off, int64(n))
	for _, x := range a.spans {
		if x.from <= off && off < x.end() {
			return x, int(min(int64(n), x.end()-off))
		}
		if x.from > off {
			n = min(n, int(min(x.from-off, int64(n))))
		}
	}
	want := min(s.run/2, spanMax, a.size-off)
	for _, x := range a.spans {
		if x.from > off {
			want = min(want, x.from-off)
		}
	}
	if n < len(p) || want <= int64(n) || a.closed {
		return nil, n
	}
	if x = a.open(off, want); x == nil {
		return nil, n
	}
	return x, n
}

// stream notes what is asked for, and returns the stream that it belongs to.
func (a *ahead) stream(off, n int64) *stream {
	a.count++
	oldest := &a.streams[0]
	for i := range a.streams {
		s := &a.streams[i]
		if s.run > 0 && off >= s.next-spanGap && off <= s.next+spanGap {
			s.run, s.used = s.run+n, a.count
			s.next = max(s.next, off+n)
			return s
		}
		if s.used < oldest.used {
			oldest = s
		}
	}
	*oldest = stream{next: off + n, run: n, used: a.count}
	return oldest
}

// open begins to fetch a span, unless too much is read ahead already. The mutex is held.
func (a *ahead) open(from, length int64) *span {
	if a.store.ahead.Add(length) > aheadMost {
		a.store.ahead.Add(-length)
		return nil
	}
	life, cancel := context.WithCancel(a.store.life)
	x := &span{from: from, data: make([]byte, length), left: int(length), cancel: cancel, more: make(chan struct{})}
	x.timer = time.AfterFunc(spanKept, func() { a.drop(x) })
	a.spans = append(a.spans, x)
	a.store.running.Go(func() {
		defer cancel()
		if err := a.fetch(life, x.data, from, func(n int) { x.moved(n, nil) }); err != nil {
			x.moved(0, err)
		}
	})
	return x
}

// taken notes that bytes of a span were read; one that is read to its end is forgotten.
func (a *ahead) taken(x *span, n int) {
	a.mu.Lock()
	x.left -= n
	over := x.left <= 0
	a.mu.Unlock()
	if over {
		a.drop(x)
	}
}

func (a *ahead) drop(x *span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.spans {
		if a.spans[i] == x {
			a.spans = append(a.spans[:i:i], a.spans[i+1:]...)
			x.timer.Stop()
			x.cancel()
			a.store.ahead.Add(-int64(len(x.data)))
			return
		}
	}
}

// close ends what is on its way.
func (a *ahead) close() {
	a.mu.Lock()
	a.closed = true
	spans := a.spans
	a.mu.Unlock()
	for _, x := range spans {
		a.drop(x)
	}
}
