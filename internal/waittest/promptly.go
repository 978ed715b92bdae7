package waittest

import (
	"testing"
	"time"
)

// again is how often a scenario is run at most that is disturbed each time.
const again = 20

// Promptly runs a scenario, which returns how long something took, and fails where that is more than the limit. A scenario during
// which this process stood still is run anew when it took longer: limits of the program were over meanwhile, and what it does then
// has pauses by design.
func Promptly(t testing.TB, limit time.Duration, what string, scenario func() time.Duration) {
	t.Helper()
	var took time.Duration
	for range again {
		disturbed := Disturbed(func() { took = scenario() })
		if took <= limit {
			return
		}
		if !disturbed {
			break
		}
	}
	t.Errorf("%s took %v, want at most %v", what, took, limit)
}

// Disturbed runs a function and reports whether this process stood still meanwhile.
func Disturbed(f func()) bool {
	begin := time.Now()
	awake := Took(f)
	return time.Since(begin)-awake >= longestBeat
}
