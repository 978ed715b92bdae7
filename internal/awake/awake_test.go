package awake

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestStandstill: a time that was over while the process stood still begins anew, and is over when the process goes on.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Int32
		timer := AfterFunc(5*time.Second, func() { fired.Add(1) })
		timer.timer.Stop() // the process stands still
		time.Sleep(20 * time.Second)
		timer.fire(time.Now())
		if fired.Load() != 0 {
			t.Fatal("given up at the moment in which the process goes on")
		}
		begin := time.Now()
		for fired.Load() == 0 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("given up %v after the process went on, want the whole time", took)
		}
		if timer.Stop() {
			t.Error("a timer that fired was stopped")
		}
	})
}

func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Int32
		timer := AfterFunc(time.Second, func() { fired.Add(1) })
		time.Sleep(900 * time.Millisecond)
		timer.Reset(2 * time.Second)
		time.Sleep(1900 * time.Millisecond)
		timer.fire(time.Now()) // it was about to when it was set anew
		if fired.Load() != 0 {
			t.Error("fired before the time to which it was set")
		}
		if !timer.Stop() {
			t.Error("a timer that runs was not stopped")
		}
		time.Sleep(time.Minute)
		timer.fire(time.Now())
		if fired.Load() != 0 {
			t.Error("fired after it was stopped")
		}
		timer.Reset(time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if fired.Load() != 1 {
			t.Errorf("fired %d times after it was set again", fired.Load())
		}
	})
}

// TestChannel: setting a timer anew takes back what nobody has received.
func TestChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := NewTimer(time.Second)
		time.Sleep(2 * time.Second)
		timer.Reset(time.Minute)
		begin := time.Now()
		<-timer.C
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("fired after %v", took)
		}
	})
}

// TestContext: what the contexts below see is what they would see below context.WithTimeout.
func TestContext(t *testing.T) {
	type key struct{}
	above := context.WithValue(t.Context(), key{}, "above")
	for name, c := range map[string]struct {
		end  func(cancelAbove, cancel context.CancelFunc)
		want error
		over bool
	}{
		"the time is over":   {func(_, _ context.CancelFunc) { time.Sleep(3 * time.Second) }, context.DeadlineExceeded, true},
		"no longer wanted":   {func(_, cancel context.CancelFunc) { cancel() }, context.Canceled, false},
		"ended from above":   {func(cancelAbove, _ context.CancelFunc) { cancelAbove() }, context.Canceled, false},
		"ended, then beyond": {func(_, cancel context.CancelFunc) { cancel(); time.Sleep(3 * time.Second) }, context.Canceled, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				above, cancelAbove := context.WithCancel(context.WithoutCancel(above))
				defer cancelAbove()
				ctx, cancel := WithTimeout(above, 3*time.Second)
				defer cancel()
				below, cancelBelow := context.WithTimeout(ctx, time.Hour)
				defer cancelBelow()
				if at, ok := ctx.Deadline(); !ok || time.Until(at) != 4*3*time.Second+time.Hour {
					t.Errorf("the deadline is in %v, %v, but three standstills would move it", time.Until(at), ok)
				}
				if _, ok := context.WithoutCancel(ctx).Deadline(); ok {
					t.Error("what does not end with the context has its deadline")
				}
				if below.Err() != nil || Over(ctx) || below.Value(key{}) != "above" {
					t.Errorf("before: %v, over: %v, value %v", below.Err(), Over(ctx), below.Value(key{}))
				}
				c.end(cancelAbove, cancel)
				synctest.Wait()
				<-below.Done()
				for what, ctx := range map[string]context.Context{"context": ctx, "one below it": below} {
					if !errors.Is(ctx.Err(), c.want) || !errors.Is(context.Cause(ctx), c.want) {
						t.Errorf("%s: %v because %v, want %v", what, ctx.Err(), context.Cause(ctx), c.want)
					}
				}
				if Over(ctx) != c.over {
					t.Errorf("over: %v", !c.over)
				}
			})
		})
	}
}

// TestContextAbove: a deadline above that is earlier counts.
func TestContextAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		above, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, cancel := WithTimeout(above, time.Minute)
		defer cancel()
		if at, _ := ctx.Deadline(); time.Until(at) != time.Second {
			t.Errorf("the deadline is in %v", time.Until(at))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if ctx.Err() != context.DeadlineExceeded || Over(ctx) {
			t.Errorf("%v, over: %v", ctx.Err(), Over(ctx))
		}
	})
}

// TestAlwaysLate: on a machine on which everything is late, what is waited for is over some day.
func TestAlwaysLate(t *testing.T) {
	for what, c := range map[string]struct {
		late time.Duration
		want int // firings until the time is over
	}{
		"by seconds": {3 * time.Second, 4},
		"by hours":   {2 * time.Hour, 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fired atomic.Int32
				latest := time.Now().Add(time.Hour)
				timer := afterFunc(5*time.Second, latest, func() { fired.Add(1) })
				for round := range 2 { // also after it was set anew
					for n := 1; ; n++ {
						timer.timer.Stop() // the process has other things to do
						time.Sleep(5*time.Second + c.late)
						timer.fire(time.Now())
						if fired.Load() > int32(round) {
							if n != c.want {
								t.Errorf("over when it was due for the %d. time, want the %d.", n, c.want)
							}
							break
						}
						if n > 10 {
							t.Fatal("never over")
						}
					}
					timer.Reset(5 * time.Second)
				}
				timer.Stop()
			})
		})
	}
}

// TestWatch: who looks believes in three standstills an hour.
func TestWatch(t *testing.T) {
	var w Watch
	begin := time.Now()
	for i, c := range []struct {
		at, late time.Duration
		want     bool
	}{
		{time.Second, 500 * time.Millisecond, false},
		{time.Minute, 2 * time.Second, true},
		{2 * time.Minute, 2 * time.Second, true},
		{3 * time.Minute, 500 * time.Millisecond, false},
		{4 * time.Minute, time.Minute, true},
		{5 * time.Minute, 2 * time.Second, false},
		{61*time.Minute - time.Second, 2 * time.Second, false},
		{61 * time.Minute, 2 * time.Second, true},
		{61 * time.Minute, 2 * time.Second, false},
		{62 * time.Minute, 2 * time.Second, true},
	} {
		now := begin.Add(c.at)
		if stood := w.Stood(now.Add(-c.late), now); stood != c.want {
			t.Errorf("look %d, %v late after %v: %v", i, c.late, c.at, stood)
		}
	}
}
