package awake

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errOdd = errors.New("odd")

// TestAgain: what failed while the process stood still is tried again, and nothing else is.
func TestAgain(t *testing.T) {
	stands := func(p *pulse) {
		p.timer.Stop() // the process stands still
		time.Sleep(10 * time.Second)
	}
	for what, c := range map[string]struct {
		try   func(p *pulse, calls int) error
		calls int
		err   error
	}{
		"it fails in time":                   {func(*pulse, int) error { time.Sleep(time.Minute); return errOdd }, 1, errOdd},
		"it succeeds":                        {func(p *pulse, _ int) error { stands(p); return nil }, 1, nil},
		"it fails while the process stands":  {func(p *pulse, n int) error { stands(p); return map[int]error{1: errOdd}[n] }, 2, nil},
		"it fails after the process stood":   {func(p *pulse, n int) error { return lateThen(p, n == 1) }, 2, errOdd},
		"the process stands again and again": {func(p *pulse, _ int) error { stands(p); return errOdd }, 1 + most, errOdd},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := again(t.Context(), func(p *pulse) error {
					calls++
					return c.try(p, calls)
				})
				if calls != c.calls || !errors.Is(err, c.err) {
					t.Errorf("%d calls and %v, want %d and %v", calls, err, c.calls, c.err)
				}
			})
		})
	}
}

// lateThen fails a while after a beat that was late.
func lateThen(p *pulse, late bool) error {
	if late {
		p.timer.Stop()
		time.Sleep(10 * time.Second)
		p.beat()
	}
	time.Sleep(10 * time.Second)
	return errOdd
}

func TestAgainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		err := again(ctx, func(p *pulse) error {
			calls++
			p.timer.Stop()
			time.Sleep(10 * time.Second)
			cancel()
			return errOdd
		})
		if calls != 1 || !errors.Is(err, errOdd) {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

// TestAgainWhereNothingStops is of the function that others call.
func TestAgainWhereNothingStops(t *testing.T) {
	if err := Again(t.Context(), func() error { return nil }); err != nil {
		t.Error(err)
	}
}
