// Package awake limits how long is waited for others, on a machine that may stand still: a process that was stopped, a virtual
// machine that was paused or moved. No answer can come in such a time, and when it is over all that was waited for
// would be late at once.
package awake

import (
	"context"
	"sync"
	"time"
)

// standstill is how late a timer fires at least after this process stood still. On a machine that is merely busy it is earlier.
const standstill = time.Second

// Late reports whether what was due at a time happens so late that this process must have stood still.
func Late(due, now time.Time) bool { return now.Sub(due) > standstill }

// A Timer calls a function once when its time is over, like one of time.AfterFunc. When it would fire late, because the process
// stood still, the time begins anew.
type Timer struct {
	// C is sent a value when a timer of NewTimer fires.
	C <-chan struct{}
	c chan struct{}
	f func()

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	after time.Duration
	due   time.Time
	armed bool
}

// AfterFunc returns a timer that calls f in a goroutine of its own.
func AfterFunc(after time.Duration, f func()) *Timer {
	t := &Timer{f: f}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.after, t.due, t.armed = after, time.Now().Add(after), true
	t.timer = time.AfterFunc(after, func() { t.fire(time.Now()) })
	return t
}

// NewTimer returns a timer that sends on its channel.
func NewTimer(after time.Duration) *Timer {
	c := make(chan struct{}, 1)
	t := AfterFunc(after, func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
	t.C, t.c = c, c
	return t
}

// Reset has the timer fire after a time from now. A value that was not received from its channel is taken back.
func (t *Timer) Reset(after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.c:
	default:
	}
	t.after, t.due, t.armed = after, time.Now().Add(after), true
	t.timer.Reset(after)
}

// Stop has the timer not fire. It reports false when it has fired or was stopped already; then the function may still run.
func (t *Timer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	armed := t.armed
	t.armed = false
	t.timer.Stop()
	return armed
}

func (t *Timer) fire(now time.Time) {
	if t.over(now) {
		t.f()
	}
}

// over reports whether the time is over, and begins it anew when the process stood still.
func (t *Timer) over(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.armed || now.Before(t.due): // it was stopped or set anew at this moment
		return false
	case Late(t.due, now):
		t.due = now.Add(t.after)
		t.timer.Reset(t.after)
		return false
	}
	t.armed = false
	return true
}

// WithTimeout is context.WithTimeout with a Timer. The context tells no deadline but that of one above it: there is no moment at
// which its end is certain.
func WithTimeout(parent context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	inner, end := context.WithCancelCause(parent)
	timer := AfterFunc(after, func() { end(errOver) })
	return &limited{Context: inner, parent: parent}, func() {
		timer.Stop()
		end(context.Canceled)
	}
}

// Limited reports whether the time of a context ends, by a deadline or by WithTimeout.
func Limited(ctx context.Context) bool {
	_, deadline := ctx.Deadline()
	return deadline || ctx.Value(limitedKey{}) != nil
}

// Over reports whether a context of WithTimeout ended because its own time was over, and not that of one above it.
func Over(ctx context.Context) bool {
	c, ok := ctx.(*limited)
	return ok && c.over()
}

// errOver ends the inner context, and is not seen outside.
var errOver = overError{}

type overError struct{}

func (overError) Error() string { return "the time is over" }

// A limited context ends with its timer. The context in it ends at the same time but cannot say that a deadline passed.
type limited struct {
	context.Context
	parent context.Context
}

func (c *limited) over() bool { return context.Cause(c.Context) == errOver }

// Err tells who asks the reason of context.WithTimeout.
func (c *limited) Err() error {
	if c.over() {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

type limitedKey struct{}

// Value leaves the inner context out: contexts below this one would otherwise end with it, and not with what Err says.
func (c *limited) Value(key any) any {
	if key == (limitedKey{}) {
		return c
	}
	return c.parent.Value(key)
}

// AfterFunc is how package context hears of the end without a goroutine that waits.
func (c *limited) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }
