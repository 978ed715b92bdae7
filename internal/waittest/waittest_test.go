package waittest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"cairn/internal/waittest"
)

func TestTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took := waittest.Took(func() { time.Sleep(5 * time.Second) }); took != 5*time.Second {
			t.Errorf("five seconds took %v", took)
		}
	})
}

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		took := waittest.Eventually(t, "a second is over", func() bool { return time.Since(begin) >= time.Second })
		if took != time.Second {
			t.Errorf("a second took %v", took)
		}
	})
}

type judge struct {
	testing.TB
	failed bool
}

func (j *judge) Helper() {}

func (j *judge) Errorf(string, ...any) { j.failed = true }

// TestPromptly: what takes too long fails where the process did not stand still, without another try.
func TestPromptly(t *testing.T) {
	for took, fails := range map[time.Duration]bool{time.Second: false, 2 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			runs, j := 0, &judge{TB: t}
			waittest.Promptly(j, time.Second, "sleeping", func() time.Duration {
				runs++
				time.Sleep(took)
				return took
			})
			if runs != 1 || j.failed != fails {
				t.Errorf("%v: %d runs, failed %t; want one run, failed %t", took, runs, j.failed, fails)
			}
		})
	}
}
