package dir

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"cairn/share"
)

// A writer who makes one change after the other knows the newest version without asking, and is always faster than another who has
// to read it first. So such a writer rests now and then, and after each change while others are known to write too.
const (
	// minRest is the shortest rest; it is longer where a write takes long, and after a long run: one restPart of it.
	minRest  = 60 * time.Millisecond
	restPart = 6
	// firstRun is after how long a writer rests for the first time, and lastRun how long the runs become while nobody else shows up.
	firstRun = 250 * time.Millisecond
	lastRun  = 4 * time.Second
	// rivalFor is how long another writer is reckoned with after it was noticed.
	rivalFor = 3 * time.Second
	// maxManners bounds how many directories are reckoned with.
	maxManners = 1000
)

// courtesy lets the writers of other processes have their turn. It is safe for concurrent use.
type courtesy struct {
	mu      sync.Mutex // guards what follows
	manners map[share.Name]*manners
}

// manners are what is known of the writers of one directory.
type manners struct {
	begun time.Time // of the run of changes without a rest
	last  time.Time // when the last change ended
	run   time.Duration
	rival time.Time // when another writer was noticed
	next  time.Time // when the next change may begin
}

func (c *courtesy) of(name share.Name) *manners {
	m := c.manners[name]
	if m == nil {
		if len(c.manners) >= maxManners {
			clear(c.manners)
		}
		m = &manners{run: firstRun}
		c.manners[name] = m
	}
	return m
}

// wait waits until this process may change a directory again.
func (c *courtesy) wait(ctx context.Context, name share.Name) error {
	c.mu.Lock()
	var left time.Duration
	if m := c.manners[name]; m != nil {
		left = time.Until(m.next)
	}
	c.mu.Unlock()
	if left <= 0 {
		return nil
	}
	return sleep(ctx, left)
}

// noticed says that somebody else writes.
func (c *courtesy) noticed(name share.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.of(name)
	m.rival, m.run = time.Now(), firstRun
}

// wrote says that a change succeeded, and how long the write took.
func (c *courtesy) wrote(name share.Name, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, now, rest := c.of(name), time.Now(), max(minRest, 2*took)
	if now.Add(-took).Sub(m.last) > rest {
		m.begun = now.Add(-took)
	}
	m.last = now
	switch {
	case now.Sub(m.rival) < rivalFor:
		m.next = now.Add(rest/2 + rand.N(rest))
	case now.Sub(m.begun) >= m.run:
		m.next = now.Add(max(rest, m.run/restPart))
		m.begun, m.run = m.next, min(2*m.run, max(lastRun, 20*took))
	}
}

// sleep waits for a time.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
