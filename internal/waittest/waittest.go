// Package waittest is how tests wait. A machine that stands still for half a minute, whose clock goes on and whose nodes have to
// find each other anew, makes no test fail that waits with it.
package waittest

import (
	"testing"
	"time"
)

// Patience is how long is waited for what must happen and does not say when.
const Patience = 3 * time.Minute

const (
	// beat is how often a condition, or the clock, is looked at; a beat counts as no more than longestBeat.
	beat        = 10 * time.Millisecond
	longestBeat = 200 * time.Millisecond
)

// Eventually waits until the condition holds, and returns how long that took, as Took does. The test ends when it does not
// within Patience.
func Eventually(t testing.TB, what string, holds func() bool) time.Duration {
	t.Helper()
	return Within(t, Patience, what, holds)
}

// Within is Eventually with a limit of its own, for conditions that take longer than others.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	var took time.Duration
	for last := begin; !holds(); {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		now := <-tick.C
		took += min(now.Sub(last), longestBeat)
		last = now
	}
	return took
}

// Took returns how long a function ran, without the time for which this process stood still meanwhile.
func Took(f func()) time.Duration {
	over, took := make(chan struct{}), make(chan time.Duration, 1)
	go func() { took <- running(over) }()
	func() {
		defer close(over)
		f()
	}()
	return <-took
}

// running returns how long this process ran until the channel was closed.
func running(over <-chan struct{}) (sum time.Duration) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for last := time.Now(); ; {
		var ended bool
		select {
		case <-over:
			ended = true
		case <-tick.C:
		}
		now := time.Now()
		sum += min(now.Sub(last), longestBeat)
		if last = now; ended {
			return sum
		}
	}
}
