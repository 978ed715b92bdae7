package introducer

import (
	"crypto/ed25519"
	"sync"
	"time"
)

// SetClock replaces the clock of a roster before it is used.
func (r *Roster) SetClock(now func() time.Time) { r.now = now }

// SetSave replaces what writes the file of a roster before it is used.
func (r *Roster) SetSave(save func(path string, data []byte) error) { r.save = save }

// SetVerify has a roster remember in a table which statements verify, together with others that use the table.
func (r *Roster) SetVerify(table *sync.Map) {
	r.verify = func(st *Statement) error {
		if _, known := table.Load(st.digest); known {
			return nil
		}
		err := st.verify()
		if err == nil {
			table.Store(st.digest, nil)
		}
		return err
	}
}

// SetMaxBytes bounds the statements of a roster.
func (r *Roster) SetMaxBytes(n int) { r.maxBytes = n }

// TrustAll has a roster verify nothing.
func (r *Roster) TrustAll() { r.verify = func(*Statement) error { return nil } }

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

// All returns the statements that a roster holds, with those that nobody heeds.
func (r *Roster) All() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list [][]byte
	for _, st := range r.set.slots {
		list = append(list, st.data)
	}
	return list
}

// Founded is Found with a key that is given, and without a look at the name.
func Founded(key ed25519.PrivateKey, name string, now time.Time) Descriptor {
	d := Descriptor{Name: name, Created: now}
	copy(d.key[:], key.Public().(ed25519.PublicKey))
	copy(d.signature[:], ed25519.Sign(key, d.signed()))
	return d
}

// Look works out what a roster means at a time, as after a change.
func (r *Roster) Look(now time.Time) *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &View{look(r.grid, r.set, now)}
}

// A View is what Look returns.
type View struct{ v *view }

// Digest returns the digest of what Look found.
func (v *View) Digest() [32]byte { return v.v.summed().digest }
