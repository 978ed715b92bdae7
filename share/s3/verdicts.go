package s3

import (
	"context"
	"maps"
	"sync"
	"time"

	"cairn/share"
)

const (
	// goodFor is how long what was found good is not read again because others doubt it.
	goodFor = time.Hour
	// verdictsKept is how many verdicts are remembered.
	verdictsKept = 4096
)

// verdicts remember which segments of shares were found good lately. The zero value is ready.
type verdicts struct {
	mu  sync.Mutex // guards what follows
	all map[verdictKey]*verdict
}

// A verdictKey names a segment of the bytes that the index has for a share: a share that was stored again or moved is another one.
type verdictKey struct {
	index   share.StorageIndex
	held    shareRecord
	segment int64
}

type verdict struct {
	gate  gate      // held while somebody looks
	users int       // who holds the gate and who waits
	good  time.Time // when the segment was found good, zero for never; written with the gate held, read so or without users
}

// holds reports whether a segment counts as good.
func (v *verdict) holds(now time.Time) bool { return !v.good.IsZero() && now.Sub(v.good) < goodFor }

// take returns the verdict of a segment, for the caller alone until leave is called.
func (x *verdicts) take(ctx context.Context, key verdictKey) (v *verdict, leave func(), err error) {
	x.mu.Lock()
	if x.all == nil {
		x.all = map[verdictKey]*verdict{}
	}
	if v = x.all[key]; v == nil {
		x.makeRoom()
		v = &verdict{gate: newGate()}
		x.all[key] = v
	}
	v.users++
	x.mu.Unlock()
	if err := v.gate.lock(ctx); err != nil {
		x.drop(key, v)
		return nil, nil, err
	}
	return v, func() {
		v.gate.unlock()
		x.drop(key, v)
	}, nil
}

// drop ends the use of a verdict, and forgets one that says nothing.
func (x *verdicts) drop(key verdictKey, v *verdict) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if v.users--; v.users == 0 && v.good.IsZero() {
		delete(x.all, key)
	}
}

// makeRoom forgets what is too old to count, or all that nobody uses, where too much is remembered. x.mu is held.
func (x *verdicts) makeRoom() {
	now := time.Now()
	for _, keep := range []func(*verdict) bool{
		func(v *verdict) bool { return v.holds(now) },
		func(*verdict) bool { return false },
	} {
		if len(x.all) < verdictsKept {
			return
		}
		maps.DeleteFunc(x.all, func(_ verdictKey, v *verdict) bool { return v.users == 0 && !keep(v) })
	}
}
