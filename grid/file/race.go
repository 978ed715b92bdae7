package file

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cairn/share"
)

const (
	// minHedge is the shortest time after which something is asked of another server as well, firstHedge the time while
	// nothing is known of how long it takes.
	minHedge   = 100 * time.Millisecond
	firstHedge = 500 * time.Millisecond
	// stuckTime is when a request is late although its server answers others.
	stuckTime = 5 * time.Second
	// silence is how long a server may give nothing at all before a request to it fails; longest is how long a
	// request may take.
	silence = 30 * time.Second
	longest = 5 * time.Minute
)

// errSilent says that a server was given up.
var errSilent = errors.New("no answer")

// A pace is how long requests of one kind take, the time in the servers' and the links' queues included. It is safe for
// concurrent use.
type pace struct {
	usual atomic.Int64 // moving average in nanoseconds, 0 while unknown
	best  atomic.Int64 // the lowest average so far
}

func (p *pace) observe(d time.Duration) {
	usual := p.usual.Load()
	if usual == 0 {
		usual = int64(d)
	}
	usual += (int64(d) - usual) / 8
	p.usual.Store(max(usual, 1))
	if best := p.best.Load(); best == 0 || usual < best {
		p.best.Store(max(usual, 1))
	}
}

// hedge is how long a request may take before another server is asked as well: a few times what is usual.
func (p *pace) hedge() time.Duration {
	usual := time.Duration(p.usual.Load())
	if usual == 0 {
		return firstHedge
	}
	return max(minHedge, 4*usual)
}

// A race asks several holders for the same bytes, or for blocks of the same segment, until its owner has what it wants.
// It is used from one goroutine; what it starts ends when its context is cancelled.
type race struct {
	s       *Source
	ctx     context.Context
	pace    *pace
	results chan *attempt
	timer   *time.Timer
	patient time.Duration // longer after each time that a server was late

	best  []*holder
	more  <-chan struct{} // closed when more holders are known; nil when none will be
	tried map[*holder]bool
	under map[*attempt]bool
}

// An attempt is one request to one holder.
type attempt struct {
	h      *holder
	start  time.Time
	cancel context.CancelCauseFunc
	late   bool // others were asked meanwhile; used by the race's goroutine only, as is given
	given  bool // it was given up, and ends soon

	buf []byte // set before the attempt is a result
	err error
}

// An event is what happened next in a race.
type event int

const (
	answered event = iota // an attempt ended
	late                  // requests are late
	found                 // more holders are known
)

// newRace returns a race for something that takes as long as the pace says. A server may be silent for as long as patient
// before others are asked.
func (s *Source) newRace(ctx context.Context, p *pace, patient time.Duration) *race {
	r := &race{
		s: s, ctx: ctx, pace: p, patient: patient, results: make(chan *attempt, 8),
		timer: time.NewTimer(longest), tried: map[*holder]bool{}, under: map[*attempt]bool{},
	}
	r.best, r.more = s.holders.ranked()
	return r
}

// start asks the best holder that has not been asked and fits for n bytes at offset off, and reports whether there is
// one.
func (r *race) start(n int, off int64, fits func(*holder) bool) bool {
	for _, h := range r.best {
		if r.tried[h] || !fits(h) {
			continue
		}
		r.tried[h] = true
		ctx, cancel := context.WithCancelCause(r.ctx)
		a := &attempt{h: h, start: time.Now(), cancel: cancel}
		h.begin()
		r.under[a] = true
		r.s.uses.Go(func() {
			defer cancel(nil)
			r.run(ctx, a, n, off)
		})
		return true
	}
	return false
}

func (r *race) run(ctx context.Context, a *attempt, n int, off int64) {
	a.buf = r.s.buffer(n)
	a.err = a.h.read(ctx, r.s.index, a.buf, off)
	if a.err != nil && ctx.Err() != nil {
		a.h.gaveNothing()
	}
	switch {
	case a.err == nil:
		a.h.gave()
		r.pace.observe(time.Since(a.start))
		r.s.fetched.Add(int64(n))
	case errors.Is(context.Cause(ctx), errSilent):
		a.err = fmt.Errorf("%w: %w for %s", share.ErrUnavailable, errSilent, time.Since(a.start).Round(time.Second))
	}
	a.h.end()
	select {
	case r.results <- a:
	case <-r.ctx.Done():
		r.s.free(a.buf)
	}
}

// next waits for something to happen.
func (r *race) next() (event, *attempt, error) {
	for {
		r.timer.Reset(time.Until(r.due()))
		select {
		case a := <-r.results:
			delete(r.under, a)
			return answered, a, nil
		case <-r.timer.C:
			if r.check(time.Now()) {
				r.best, r.more = r.s.holders.ranked()
				return late, nil, nil
			}
		case <-r.more:
			r.best, r.more = r.s.holders.ranked()
			return found, nil, nil
		case <-r.ctx.Done():
			return 0, nil, r.s.ended(r.ctx)
		}
	}
}

// due returns when the next request may be late or has to be given up.
func (r *race) due() time.Time {
	due := time.Now().Add(longest)
	for a := range r.under {
		if !a.given {
			due = earlier(due, r.deadline(a))
		}
	}
	return due
}

// deadline returns when a request is late, or when one that is late is to be given up. A server that answers other
// requests of this file has a queue, and asking others as well would only make the queues longer.
func (r *race) deadline(a *attempt) time.Time {
	silent := a.h.silentSince(a.start)
	if a.late {
		return earlier(silent.Add(silence), a.start.Add(longest))
	}
	return earlier(silent.Add(r.patient), a.start.Add(max(stuckTime, r.patient)))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// check marks what is late, gives up what is late for too long, and reports whether anything is late now that was not
// before.
func (r *race) check(now time.Time) bool {
	news := false
	for a := range r.under {
		switch {
		case a.given || r.deadline(a).After(now):
		case a.late:
			a.given = true
			a.cancel(errSilent)
		default:
			a.late, news = true, true
			a.h.avoid()
		}
	}
	if news {
		r.patient *= 2
	}
	return news
}

// fresh returns how many requests are under way that are not late.
func (r *race) fresh() int {
	n := 0
	for a := range r.under {
		if !a.late {
			n++
		}
	}
	return n
}

// exhausted reports whether nothing is under way and nothing more will come.
func (r *race) exhausted() bool { return len(r.under) == 0 && r.more == nil }
