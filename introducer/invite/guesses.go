package invite

import (
	"sync"
	"time"
)

const (
	// guessesPerMinute is how many attempts from one source may fail within a minute before none of its is looked at.
	guessesPerMinute = 10
	// countedSources bounds the memory for that.
	countedSources = 1024
)

// guesses counts the failures of each source since minute began. A source is an address, for those who name an invitation that
// does not exist, and the invitation for those who name one that does: ids cannot be guessed, so that whoever holds an
// invitation is heard however many fail at the same relay.
type guesses struct {
	mu     sync.Mutex
	minute time.Time
	failed map[string]int
}

// allow reports whether an attempt of the source is looked at.
func (g *guesses) allow(source string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := now.Sub(g.minute); d >= time.Minute || d < 0 || g.failed == nil {
		g.minute, g.failed = now, make(map[string]int)
	}
	n, known := g.failed[source]
	return n < guessesPerMinute && (known || len(g.failed) < countedSources)
}

func (g *guesses) fail(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		g.failed[source]++
	}
}
