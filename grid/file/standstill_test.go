package file

import (
	"testing"
	"time"
)

// TestStandstill: where this process stood still, no server is taken for one that did nothing.
func TestStandstill(t *testing.T) {
	now := time.Now()
	u := &upload{lanes: []*lane{{}, {}}}
	for _, l := range u.lanes {
		l.moved.Store(now.Add(-time.Minute).UnixNano())
	}
	u.stoodStill(now)
	for i, l := range u.lanes {
		if idle := now.Sub(l.lastMove()); idle > 0 {
			t.Errorf("lane %d is idle for %v", i, idle)
		}
	}
}
