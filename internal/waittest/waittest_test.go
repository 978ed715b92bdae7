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
