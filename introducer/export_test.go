package introducer

import "time"

// SetClock replaces the clock of a roster before it is used.
func (r *Roster) SetClock(now func() time.Time) { r.now = now }

// SetSave replaces what writes the file of a roster before it is used.
func (r *Roster) SetSave(save func(path string, data []byte) error) { r.save = save }

// Held returns how many statements a roster holds, with those that nobody heeds.
func (r *Roster) Held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.set.slots)
}

// Limits for tests.
const (
	MaxClaims = maxClaims
	MaxGrants = maxGrants
	MaxDead   = maxDead
)
