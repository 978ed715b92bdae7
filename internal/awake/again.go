package awake

import (
	"context"
	"sync"
	"time"
)

// Again calls a function, and calls it again where it failed and this process stood still meanwhile, three times at most: libraries
// below it wait with limits of their own, which were over in that time. It returns what the last call did, and calls nothing again
// once the context has ended.
func Again(ctx context.Context, try func() error) error {
	return again(ctx, func(*pulse) error { return try() })
}

func again(ctx context.Context, try func(*pulse) error) error {
	for i := 0; ; i++ {
		p := newPulse(standstill / 4)
		err := try(p)
		if stood := p.end(); err == nil || !stood || i == most || ctx.Err() != nil {
			return err
		}
	}
}

// A pulse beats while this process runs.
type pulse struct {
	every time.Duration
	timer *time.Timer

	mu    sync.Mutex // guards what follows
	due   time.Time
	stood bool
	ended bool
}

func newPulse(every time.Duration) *pulse {
	p := &pulse{every: every, due: time.Now().Add(every)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(every, p.beat)
	return p
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.look()
	p.timer.Reset(p.every)
}

// end ends the pulse, and reports whether a beat was late.
func (p *pulse) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
	p.look()
	return p.stood
}

// look is called with the lock held.
func (p *pulse) look() {
	now := time.Now()
	p.stood = p.stood || late(p.due, now)
	p.due = now.Add(p.every)
}
