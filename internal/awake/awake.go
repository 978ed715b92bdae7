// Package awake limits how long is waited for others, on a machine that may stand still: a process that was stopped, a virtual
// machine that was paused or moved. No answer can come in such a time, and when it is over all that was waited for
// would be late at once. What is waited for begins anew then, a few times: a machine on which everything is late
// must come to an end too.
package awake

import (
	"context"
	"sync"
	"time"
)

const (
	// standstill is how late a timer fires at least after this process stood still. On a machine that is merely busy it is earlier.
	standstill = time.Second
	// most is how often a time begins anew. What is late more often is so because there is too much to do.
	most = 3
	// within is the time in which a Watch believes in so many standstills.
	within = time.Hour
	// longest is how long standstills may last for a context to outlive them.
	longest = time.Hour
)

// late reports whether what was due at a time happens so late that this process must have stood still.
func late(due, now time.Time) bool { return now.Sub(due) > standstill }

// A Watch tells who looks at something again and again when this process stood still. The zero value is ready. It is for one
// goroutine at a time.
type Watch struct {
	last [most]time.Time // a ring
	next int
}

// Stood reports whether this process stood still before now, because a look was due much earlier. It does so three times an hour at
// most, so that every time of less than a quarter of an hour that begins anew with it is over some day.
func (w *Watch) Stood(due, now time.Time) bool {
	if !late(due, now) {
		return false
	}
	if oldest := w.last[w.next]; !oldest.IsZero() && now.Sub(oldest) < within {
		return false
	}
	w.last[w.next] = now
	w.next = (w.next + 1) % most
	return true
}

// A Timer calls a function once when its time is over, like one of time.AfterFunc. When it would fire late, because the process
// stood still, the time begins anew, three times at most.
type Timer struct {
	// C is sent a value when a timer of NewTimer fires.
	C <-chan struct{}
	c chan struct{}
	f func()
	// latest is when the time is over although the process stood still; zero for never.
	latest time.Time

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	after time.Duration
	due   time.Time
	anew  int // how often the time has begun anew since it was set
	armed bool
}

// AfterFunc returns a timer that calls f in a goroutine of its own.
func AfterFunc(after time.Duration, f func()) *Timer { return afterFunc(after, time.Time{}, f) }

func afterFunc(after time.Duration, latest time.Time, f func()) *Timer {
	t := &Timer{f: f, latest: latest}
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
	t.after, t.due, t.anew, t.armed = after, time.Now().Add(after), 0, true
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
	case late(t.due, now) && t.anew < most && (t.latest.IsZero() || now.Add(t.after).Before(t.latest)):
		t.anew++
		t.due = now.Add(t.after)
		t.timer.Reset(t.after)
		return false
	}
	t.armed = false
	return true
}

// WithTimeout is context.WithTimeout with a Timer. The deadline that the context tells is the moment at which its end is certain,
// which is much later: the time may begin anew three times, and standstills may last an hour together.
func WithTimeout(parent context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	latest := time.Now().Add((most+1)*after + longest)
	inner, end := context.WithCancelCause(parent)
	timer := afterFunc(after, latest, func() { end(errOver) })
	return &limited{Context: inner, parent: parent, latest: latest}, func() {
		timer.Stop()
		end(context.Canceled)
	}
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
	latest time.Time
}

func (c *limited) Deadline() (time.Time, bool) {
	if above, ok := c.parent.Deadline(); ok && above.Before(c.latest) {
		return above, true
	}
	return c.latest, true
}

func (c *limited) over() bool { return context.Cause(c.Context) == errOver }

// Err tells who asks the reason of context.WithTimeout.
func (c *limited) Err() error {
	if c.over() {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// Value leaves the inner context out: contexts below this one would otherwise end with it, and not with what Err says.
func (c *limited) Value(key any) any {
	return c.parent.Value(key)
}

// AfterFunc is how package context hears of the end without a goroutine that waits.
func (c *limited) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }
