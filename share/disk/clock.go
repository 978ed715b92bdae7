package disk

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"cairn/share"
)

// The collection must not believe the machine's clock blindly: one that jumps a year ahead would end every lease. So the
// store has a clock of its own, which never passes that of the machine, and runs at most clockRate times as fast as the
// store is open. A jump of a year takes it more than seven weeks, and ends no lease before it was undone.
// The same holds after the store was closed for long: who has leases here gets time to renew them.
const clockRate = 7

var clockKey = []byte("clock")

type clockRecord struct {
	_    struct{} `cbor:",toarray"`
	Time int64    // Unix seconds
}

// A clock is the store's own. It is safe for concurrent use.
type clock struct {
	mu   sync.Mutex
	time time.Time // what it showed
	at   time.Time // when it was looked at, by the machine's monotonic clock
}

// openClock sets the clock to where an earlier process left it; where there was none, to the last time that something was
// stored.
func (s *Store) openClock() error {
	var r clockRecord
	found, err := s.index.get(clockKey, &r)
	if err != nil && !errors.Is(err, share.ErrCorrupt) {
		return err
	}
	now := time.Now()
	s.clock.time, s.clock.at = now.Round(0), now
	if found && err == nil {
		s.clock.set(time.Unix(r.Time, 0), now)
		return nil
	}
	if info, err := os.Stat(s.journal.name(s.journal.last)); err == nil {
		s.clock.set(info.ModTime(), now)
	}
	return nil
}

func (c *clock) set(t, now time.Time) {
	if t.After(now) {
		t = now
	}
	c.time = t
}

// read advances the clock: now is what the machine's shows.
func (c *clock) read(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := max(0, now.Sub(c.at)) // monotonic, whatever the wall clock did
	c.at = now
	return c.advance(now.Round(0), passed)
}

// advance shows a later time after so much has passed, but none behind that of the machine. Its caller holds the mutex.
func (c *clock) advance(now time.Time, passed time.Duration) time.Time {
	c.set(c.time.Add(clockRate*passed), now)
	return c.time
}

// tick advances the clock and makes stable what it shows.
func (s *Store) tick(ctx context.Context) (time.Time, error) {
	now := s.clock.read(time.Now())
	return now, s.committer.do(ctx, func(b *batch) error {
		b.other = append(b.other, change{clockKey, seal(clockRecord{Time: now.Unix()})})
		return nil
	})
}

// ageClock returns the time by which it is judged whether something is older than an age: the machine's for short ages,
// the store's own for those that matter.
func (s *Store) ageClock(age time.Duration) time.Time {
	now := time.Now()
	if age < 24*time.Hour {
		return now
	}
	return s.clock.read(now)
}
