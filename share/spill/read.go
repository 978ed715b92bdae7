package spill

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"cairn/share"
)

// Numbers says which shares are held in either store. While one of them does not answer, what the other holds is told if it is
// anything.
func (s *Store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	// The far store first: what comes back meanwhile is seen in the near one.
	far, farErr := s.far.Numbers(ctx, indexes)
	near, err := s.near.Numbers(ctx, indexes)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && farErr == nil:
		for i := range near {
			near[i] = merge(near[i], far[i])
		}
		return near, nil
	case err != nil && farErr != nil:
		return nil, err
	case err != nil:
		near, farErr = far, err
	}
	if len(indexes) > 0 && !slices.ContainsFunc(near, func(h share.Held) bool { return len(h.Numbers) > 0 }) {
		return nil, farErr
	}
	s.log.Warn("one of two stores does not say what it holds", "error", farErr)
	return near, nil
}

func merge(a, b share.Held) share.Held {
	if len(b.Numbers) == 0 {
		return a
	}
	if len(a.Numbers) == 0 {
		return b
	}
	a.Numbers = append(slices.Clone(a.Numbers), b.Numbers...)
	slices.Sort(a.Numbers)
	a.Numbers = slices.Compact(a.Numbers)
	return a
}

// holding returns those of the indexes of which a store holds anything, each once. One that does not answer is taken to hold none.
func (s *Store) holding(ctx context.Context, part Part, indexes []share.StorageIndex) []share.StorageIndex {
	if len(indexes) == 0 {
		return nil
	}
	held, err := part.Numbers(ctx, indexes)
	if err != nil {
		s.log.Warn("one of two stores does not say what it holds", "error", err)
		return nil
	}
	seen := map[share.StorageIndex]bool{}
	var found []share.StorageIndex
	for _, h := range held {
		if len(h.Numbers) > 0 && !seen[h.Index] {
			seen[h.Index] = true
			found = append(found, h.Index)
		}
	}
	return found
}

// Open opens one share where it is, in the near store if it is in both.
func (s *Store) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := s.near.Open(ctx, index, number)
	if err == nil || ctx.Err() != nil {
		return r, err
	}
	r, farErr := s.far.Open(ctx, index, number)
	if farErr == nil {
		return &farReader{store: s, index: index, number: number, inner: r}, nil
	}
	if !errors.Is(farErr, share.ErrNotFound) {
		return nil, farErr
	}
	if !errors.Is(err, share.ErrNotFound) {
		return nil, err
	}
	return s.near.Open(ctx, index, number) // it may have come back meanwhile
}

// Recheck implements share.Rechecker: both stores look at what they have of the share.
func (s *Store) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	far, farErr := s.far.Recheck(ctx, index, number, segment) // first, as in Numbers
	near, err := s.near.Recheck(ctx, index, number, segment)
	return eitherHeld(ctx, near, err, far, farErr)
}

func eitherHeld(ctx context.Context, near bool, err error, far bool, farErr error) (held bool, _ error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if held = near && err == nil || far && farErr == nil; held {
		return true, nil
	}
	return false, cmp.Or(err, farErr)
}

// Examine implements share.Examiner: both stores look at what they have of the share.
func (s *Store) Examine(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, read int64, err error) {
	far, farRead, farErr := examine(ctx, s.far, index, number, segment)
	near, nearRead, err := examine(ctx, s.near, index, number, segment)
	held, err = eitherHeld(ctx, near, err, far, farErr)
	return held, farRead + nearRead, err
}

// examine asks a store that may be no share.Examiner: what it reads is not known then, and said to be a byte.
func examine(ctx context.Context, p Part, index share.StorageIndex, number share.Number, segment int64) (held bool, read int64, err error) {
	if x, ok := p.(share.Examiner); ok {
		return x.Examine(ctx, index, number, segment)
	}
	held, err = p.Recheck(ctx, index, number, segment)
	if held || err != nil {
		read = 1
	}
	return held, read, err
}

// A farReader reads a share in the far store. When it has come back meanwhile, it goes on in the near one.
type farReader struct {
	store  *Store
	index  share.StorageIndex
	number share.Number

	mu     sync.RWMutex // guards inner; held while it is read from
	inner  share.Reader
	nearer bool
}

func (r *farReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	r.mu.RLock()
	n, err := r.inner.ReadAt(ctx, p, off)
	nearer := r.nearer
	r.mu.RUnlock()
	if err == nil || nearer || ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, share.ErrDenied) || errors.Is(err, share.ErrClosed) {
		return n, err
	}
	if !r.follow(ctx) {
		return n, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.inner.ReadAt(ctx, p, off)
}

// follow makes the reader read from the near store, if the share is there.
func (r *farReader) follow(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nearer {
		return true
	}
	inner, err := r.store.near.Open(ctx, r.index, r.number)
	if err != nil || inner.Size() != r.inner.Size() {
		return false
	}
	_ = r.inner.Close() // it could not be read any more
	r.inner, r.nearer = inner, true
	return true
}

// Stale implements share.Staler.
func (r *farReader) Stale() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.inner.(share.Staler)
	return ok && s.Stale()
}

func (r *farReader) Size() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.inner.Size()
}

func (r *farReader) Close() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.inner.Close()
}

// Fetch returns small shares of both stores.
func (s *Store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	found, err := s.near.Fetch(ctx, indexes)
	if ctx.Err() != nil || errors.Is(err, share.ErrTooLarge) {
		return nil, err
	}
	if err != nil {
		return s.far.Fetch(ctx, indexes)
	}
	s.fetchFar(ctx, indexes, found)
	return found, nil
}

// fetchFar adds what the far store has to what the near one gave, as far as there is room in an answer.
func (s *Store) fetchFar(ctx context.Context, indexes []share.StorageIndex, found [][]share.WholeShare) {
	away := s.holding(ctx, s.far, indexes)
	if len(away) == 0 {
		return
	}
	got, err := s.far.Fetch(ctx, away)
	if err != nil {
		s.log.Warn("small shares cannot be fetched from the far store", "error", err)
		return
	}
	of := map[share.StorageIndex][]share.WholeShare{}
	for i, index := range away {
		of[index] = got[i]
	}
	room := share.MaxBatchBytes
	for _, shares := range found {
		for _, w := range shares {
			room -= len(w.Data)
		}
	}
	for i, index := range indexes {
		for _, w := range of[index] {
			if len(w.Data) <= room && !slices.ContainsFunc(found[i], func(has share.WholeShare) bool { return has.Number == w.Number }) {
				room -= len(w.Data)
				found[i] = append(found[i], w)
			}
		}
	}
}
