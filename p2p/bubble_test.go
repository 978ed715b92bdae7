package p2p_test

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// inBubble is synctest.Test on one processor. The goroutines of a bubble share what the race detector knows of its timers, and the program
// crashes in the runtime (Go 1.26.8, timer.maybeRunChan) when two of them receive from timers that are due already at the same moment, as those do
// that dial. It is not for parallel tests.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
