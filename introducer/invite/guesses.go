package invite

import (
	"sync"
	"time"
)

const (
	// guessesPerMinute is how many attempts of one address may fail within a minute before none of its is looked at.
	guessesPerMinute = 10
	// countedAddresses bounds the memory for that.
	countedAddresses = 1024
)

// guesses counts the failures of each address since minute began.
type guesses struct {
	mu     sync.Mutex
	minute time.Time
	failed map[string]int
}

// allow reports whether an attempt of the address is looked at.
func (g *guesses) allow(address string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := now.Sub(g.minute); d >= time.Minute || d < 0 || g.failed == nil {
		g.minute, g.failed = now, make(map[string]int)
	}
	n, known := g.failed[address]
	return n < guessesPerMinute && (known || len(g.failed) < countedAddresses)
}

func (g *guesses) fail(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		g.failed[address]++
	}
}
