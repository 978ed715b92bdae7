package file

import (
	"context"
	"time"
)

// A race asks several holders for bytes until its owner has what it wants. It is used from one goroutine; what it
// starts ends when its context is cancelled.
type race struct {
	s       *Source
	ctx     context.Context
	results chan attempt
	hedge   *time.Timer
	tried   map[*holder]bool
	pending int
	more    <-chan struct{} // closed when more holders are known; nil when none will be
}

// An attempt is one holder's answer.
type attempt struct {
	h   *holder
	buf []byte
	err error
}

// An event is what happened next in a race.
type event int

const (
	answered event = iota // an attempt ended
	late                  // nothing ended for longer than usual
	found                 // more holders are known
)

func (s *Source) newRace(ctx context.Context) *race {
	return &race{s: s, ctx: ctx, results: make(chan attempt, 8), hedge: time.NewTimer(s.hedge()), tried: map[*holder]bool{}}
}

// start asks the best holder that has not been asked and fits for len(buf()) bytes at offset off, and reports whether
// there is one.
func (r *race) start(n int, off int64, fits func(*holder) bool) bool {
	all, more := r.s.holders.ranked()
	r.more = more
	for _, h := range all {
		if r.tried[h] || !fits(h) {
			continue
		}
		r.tried[h] = true
		r.pending++
		r.s.requests.Go(func() { r.attempt(h, n, off) })
		return true
	}
	return false
}

func (r *race) attempt(h *holder, n int, off int64) {
	ctx, cancel := context.WithTimeout(r.ctx, blockTimeout)
	defer cancel()
	buf := r.s.buffer(n)
	start := time.Now()
	err := h.read(ctx, r.s.index, buf, off)
	if err == nil {
		r.s.observe(time.Since(start))
		r.s.fetched.Add(int64(n))
	}
	select {
	case r.results <- attempt{h, buf, err}:
	case <-r.ctx.Done():
		r.s.free(buf)
	}
}

// next waits for something to happen.
func (r *race) next() (event, attempt, error) {
	select {
	case a := <-r.results:
		r.pending--
		return answered, a, nil
	case <-r.hedge.C:
		r.hedge.Reset(r.s.hedge())
		return late, attempt{}, nil
	case <-r.more:
		r.more = nil
		return found, attempt{}, nil
	case <-r.ctx.Done():
		return 0, attempt{}, r.ctx.Err()
	}
}

// exhausted reports whether nothing is under way and nothing more will come.
func (r *race) exhausted() bool { return r.pending == 0 && r.more == nil }
