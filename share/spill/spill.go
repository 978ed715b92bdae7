// Package spill makes one Store of two: a near one first, and a far one for what the near one cannot take.
//
// Whoever uses the Store sees the shares of both as if they were in one place. What went to the far store comes back with
// Drain, once there is room near. All that this package knows is in the two stores: it keeps no state of its own that a
// crash could lose.
package spill

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"

	"cairn/share"
)

// A Part is one of the two Stores: one that implements everything that package share names.
type Part interface {
	share.Store
	share.Batcher
	share.HeadStore
	share.Resumer
	share.Spacer
	share.Accounter
	share.Mover
	share.Rechecker
}

// What holds where nothing else is said.
const (
	DefaultHigh = 0.9
	DefaultLow  = 0.8
)

// Options say when shares go far and when they come back.
type Options struct {
	// High is the part of what the near store offers up to which it takes shares; beyond it they go far. What is between
	// High and all is left to heads. 0 means DefaultHigh.
	High float64
	// Low is the part of what the near store offers up to which Drain brings shares back; 0 means DefaultLow. It is not more
	// than High.
	Low float64
	// Limit is how many bytes the far store is given; 0 means as many as it takes.
	Limit int64
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
}

// A Store is a near store with a far one behind it. It implements every interface of a Part and is safe for concurrent use.
//
// New shares go to the near store while it is below its mark and takes them, and to the far store otherwise; where one of the
// two fails the other is tried. Reads prefer the near store. A file with shares in both has the same leases in both.
type Store struct {
	near, far Part
	high, low float64
	limit     int64
	log       *slog.Logger

	names [64]sync.Mutex // by first byte of the name: held while a head is set

	draining sync.Mutex // held while a pass of Drain goes on

	mu      sync.Mutex // guards what follows
	absent  map[share.Name]bool
	pushed  map[uploadKey]bool
	pending [2][]release // of leases that the near and the far store have ended, to be ended in the other
	moving  map[string]int64
}

// An uploadKey names an upload of one share.
type uploadKey struct {
	owner  string
	id     share.UploadID
	number share.Number
}

// A release is a lease that one of the stores has ended.
type release struct {
	owner string
	index share.StorageIndex
}

var (
	_ Part = (*Store)(nil)

	// errPassed says that a store was not asked.
	errPassed = errors.New("not asked")
)

// Bounds of what is remembered.
const (
	maxAbsent = 1 << 16
	maxPushed = 1 << 10
)

// New returns the Store of two that are open. Who opened them closes them after the last use of the Store.
func New(near, far Part, o Options) *Store {
	s := &Store{
		near: near, far: far, high: cmp.Or(o.High, DefaultHigh), low: cmp.Or(o.Low, DefaultLow), limit: o.Limit, log: o.Logger,
		absent: map[share.Name]bool{}, pushed: map[uploadKey]bool{}, moving: map[string]int64{},
	}
	s.low = min(s.low, s.high)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for side, part := range []Part{near, far} {
		if teller, ok := part.(share.ReleaseTeller); ok {
			teller.OnRelease(func(owner string, index share.StorageIndex) { s.ended(side, owner, index) })
		}
	}
	if keeper, ok := near.(share.NameKeeper); ok {
		keeper.HeldElsewhere(s.holdsFar)
	}
	return s
}

// holdsFar reports whether shares of a file are in the far store, or may be.
func (s *Store) holdsFar(index share.StorageIndex) bool {
	held, err := s.far.Numbers(context.Background(), []share.StorageIndex{index})
	return err != nil || len(held[0].Numbers) > 0
}

// Far returns the far store.
func (s *Store) Far() Part { return s.far }

// Near returns the near store.
func (s *Store) Near() Part { return s.near }

// room returns how many bytes the near store takes up to a part of what it offers. One that cannot say takes nothing.
func (s *Store) room(ctx context.Context, mark float64) int64 {
	space, err := s.near.Space(ctx)
	if err != nil {
		s.log.Warn("the near store does not say how full it is", "error", err)
		return 0
	}
	return max(0, min(space.Free, int64(mark*float64(space.Offered))-space.Used))
}

// farRoom returns how many bytes the far store takes.
func (s *Store) farRoom(ctx context.Context) (share.Space, error) {
	space, err := s.far.Space(ctx)
	if err != nil {
		return share.Space{}, err
	}
	if s.limit > 0 {
		space.Offered = min(space.Offered, s.limit)
		space.Free = max(0, min(space.Free, s.limit-space.Used))
	}
	return space, nil
}

// Space says what both offer together. Of a far store that does not answer nothing is counted.
func (s *Store) Space(ctx context.Context) (share.Space, error) {
	near, err := s.near.Space(ctx)
	if ctx.Err() != nil {
		return share.Space{}, ctx.Err()
	}
	far, farErr := s.farRoom(ctx)
	if err != nil && farErr != nil {
		return share.Space{}, err
	}
	const most = 1 << 60
	return share.Space{
		Offered: min(most, near.Offered) + min(most, far.Offered),
		Used:    near.Used + far.Used,
		Free:    min(most, near.Free) + min(most, far.Free),
	}, nil
}

// order returns the stores in the order in which they are asked to take so many bytes.
func (s *Store) order(ctx context.Context, bytes int64) []Part {
	if s.room(ctx, s.high) >= bytes {
		return []Part{s.near, s.far}
	}
	return []Part{s.far, s.near}
}

// admits returns ErrNoSpace when the far store is given no more.
func (s *Store) admits(ctx context.Context, part Part, bytes int64) error {
	if part != s.far || s.limit == 0 {
		return nil
	}
	space, err := s.farRoom(ctx)
	if err == nil && space.Free < bytes {
		err = share.ErrNoSpace
	}
	return err
}

// other returns the store that the given one is not.
func (s *Store) other(part Part) Part {
	if part == s.near {
		return s.far
	}
	return s.near
}

// full reports whether an error says that a store takes nothing more.
func full(err error) bool {
	return errors.Is(err, share.ErrNoSpace) || errors.Is(err, share.ErrReadOnly)
}

// elsewhere reports whether what failed with an error may go well in the other store.
func elsewhere(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	for _, final := range []error{share.ErrDenied, share.ErrTooLarge, share.ErrCorrupt, share.ErrConflict} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}
