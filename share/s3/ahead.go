package s3

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Reading ahead: who reads a large share from end to end gets it with few requests, and who reads a block here and there gets only that.
const (
	spanMax   = 8 << 20   // bytes of one request that reads ahead
	spanMin   = 64 << 10  // bytes that cost less than another request, once it is clear that somebody reads on
	early     = 4 << 20   // bytes that are read one after the other before the next span is fetched while this one is read
	streams   = 6         // places of one share at which reading goes on: blocks, and the rows behind them
	reachMax  = 16 << 20  // how far apart reads may be that are made at a time, in any order
	aheadMost = 128 << 20 // bytes that are read ahead for all readers together
	spanKept  = time.Minute
)

// A stream is a place at which somebody reads on. All between its ends was fetched, or is on its way.
type stream struct {
	first int64
	edge  int64
	next  int64 // the offset behind the furthest byte that was asked for
	run   int64 // bytes that were asked for one after the other
	used  int64 // when it was used last, as a count
}

// goesOn reports whether a read of n bytes at an offset, which no span has, goes on where the stream is. Several blocks are asked for at a
// time, in any order.
func (s *stream) goesOn(n, off int64) bool {
	reach := min(max(s.run, 4*n), reachMax)
	return off >= s.edge && off <= s.edge+reach || off < s.first && off+n >= s.first-4*n
}

// budget is how many bytes may be there, or on their way, that nobody has asked for: who stops reading has half as much read in vain as
// was wanted.
func (s *stream) budget() int64 { return min(s.run/2, 2*spanMax) }

// asked notes a read.
func (s *stream) asked(n, off int64) {
	s.first, s.next = min(s.first, off), max(s.next, off+n)
	s.run = min(s.run+n, s.next-s.first)
}

// A span is a piece of a share that is on its way, or there and not yet read.
type span struct {
	stream *stream
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
	// blocks is where the rows begin: who reads blocks to their end is not about to read those.
	blocks int64

	mu      sync.Mutex // guards what follows
	closed  bool
	count   int64
	streams []*stream
	spans   []*span
}

// readAt fills p from an offset.
func (a *ahead) readAt(ctx context.Context, p []byte, off int64) error {
	for len(p) > 0 {
		x, n := a.span(int64(len(p)), off)
		if x == nil || !a.copied(ctx, x, p[:n], off) {
			if err := a.fetch(ctx, p[:n], off, nil); err != nil {
				return err
			}
		}
		p, off = p[n:], off+n
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

// span returns the span that has the first of n bytes that are asked for, and how many of them, or nil when these are to be fetched by themselves.
func (a *ahead) span(n, off int64) (*span, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	x := a.at(off)
	var s *stream
	if x != nil {
		s, n = x.stream, min(n, x.end()-off)
	} else {
		n = min(n, a.before(off)-off)
		s = a.stream(n, off)
	}
	s.used = a.count
	s.asked(n, off)
	a.leave(func(x *span) bool { return x.stream == s && x.end() < s.next-reachMax })
	if x == nil && !a.closed {
		x = a.reach(s, n, off)
	}
	s.edge = max(s.edge, off+n)
	if s.run >= early && !a.closed {
		a.goOn(s)
	}
	if x != nil {
		n = min(n, x.end()-off)
	}
	return x, n
}

// at returns the span that has the byte at an offset.
func (a *ahead) at(off int64) *span {
	for _, x := range a.spans {
		if x.from <= off && off < x.end() {
			return x
		}
	}
	return nil
}

// before returns where the next span behind an offset begins, or the blocks, or the share, end.
func (a *ahead) before(off int64) int64 {
	end := a.size
	if off < a.blocks {
		end = a.blocks
	}
	for _, x := range a.spans {
		if x.from >= off {
			end = min(end, x.from)
		}
	}
	return end
}

// reach opens what is missing from the edge of a stream to the end of a read, and what is likely to be asked for next. It returns the span that
// has the first byte of the read, or nil where that is to be fetched by itself.
func (a *ahead) reach(s *stream, n, off int64) *span {
	if s.run <= n || off < s.edge {
		return nil // nobody knows yet whether it goes on
	}
	more := max(s.budget(), spanMin)
	end := off + n + more - more%n // who reads blocks has no use for a piece of one
	for a.hop(s); s.edge <= off; a.hop(s) {
		to := min(end, s.edge+spanMax, a.before(s.edge))
		if to == off+n && s.edge == off || a.open(s, s.edge, min(n, to-s.edge), to-s.edge) == nil {
			return nil
		}
	}
	return a.at(off)
}

// hop moves the edge of a stream behind what another stream has fetched.
func (a *ahead) hop(s *stream) {
	for x := a.at(s.edge); x != nil; x = a.at(s.edge) {
		s.edge = x.end()
	}
}

// goOn opens the next span of a stream while this one is read.
func (a *ahead) goOn(s *stream) {
	a.hop(s)
	unread := s.edge - s.next
	if unread > s.budget()/2 {
		return
	}
	if length := min(spanMax, s.budget()-unread, a.before(s.edge)-s.edge); length > 0 {
		a.open(s, s.edge, min(spanMin, length), length)
	}
}

// stream returns the stream to which a read belongs that no span has.
func (a *ahead) stream(n, off int64) *stream {
	var best *stream
	for _, s := range a.streams {
		if s.goesOn(n, off) && (best == nil || max(off-s.next, s.next-off) < max(off-best.next, best.next-off)) {
			best = s
		}
	}
	if best != nil {
		return best
	}
	if len(a.streams) == streams {
		a.forget(slices.MinFunc(a.streams, func(x, y *stream) int { return cmp.Compare(x.used, y.used) }))
	}
	s := &stream{first: off, edge: off, next: off}
	a.streams = append(a.streams, s)
	return s
}

// forget ends a stream. The mutex is held.
func (a *ahead) forget(s *stream) {
	a.streams = slices.DeleteFunc(a.streams, func(other *stream) bool { return other == s })
	a.leave(func(x *span) bool { return x.stream == s })
}

// open begins to fetch a span of a length, a smaller one where much is read ahead already. It returns nil where there is not even room for the
// least that is of use. The mutex is held.
func (a *ahead) open(s *stream, from, least, length int64) *span {
	for {
		used := a.store.ahead.Load()
		length = min(length, (aheadMost-used)/8)
		if length < least {
			return nil
		}
		if a.store.ahead.CompareAndSwap(used, used+length) {
			break
		}
	}
	life, cancel := context.WithCancel(a.store.life)
	x := &span{stream: s, from: from, data: make([]byte, length), left: int(length), cancel: cancel, more: make(chan struct{})}
	x.timer = time.AfterFunc(spanKept, func() { a.drop(x) })
	a.spans = append(a.spans, x)
	s.edge = max(s.edge, x.end())
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
	defer a.mu.Unlock()
	if x.left -= n; x.left <= 0 {
		a.leave(func(other *span) bool { return other == x })
	}
}

func (a *ahead) drop(x *span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leave(func(other *span) bool { return other == x })
}

// leave forgets spans, and ends those that are on their way. The mutex is held.
func (a *ahead) leave(which func(*span) bool) {
	a.spans = slices.DeleteFunc(a.spans, func(x *span) bool {
		if !which(x) {
			return false
		}
		x.timer.Stop()
		x.cancel()
		a.store.ahead.Add(-int64(len(x.data)))
		return true
	})
}

// close ends what is on its way.
func (a *ahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.leave(func(*span) bool { return true })
}
