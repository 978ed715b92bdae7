package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// Put implements share.Batcher.
func (s *Store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := column.CheckBatch(shares); err != nil {
		return nil, err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(shares))
	for i, whole := range shares {
		if _, errs[i] = column.CheckWhole(whole); errs[i] != nil {
			continue
		}
		if errs[i] = s.take(s.growth(whole)); errs[i] == nil {
			s.holdWhole(whole, lease)
		}
	}
	return errs, nil
}

// growth returns how many bytes more the store has with a share.
func (s *Store) growth(whole share.WholeShare) int64 {
	if f := s.files[whole.Index]; f != nil && f.shares[whole.Number] != nil {
		return 0
	}
	return int64(len(whole.Data))
}

// holdWhole keeps a share that column.CheckWhole accepts and whose growth was taken. One that is held already gets the lease.
func (s *Store) holdWhole(whole share.WholeShare, lease share.Lease) {
	if s.growth(whole) == 0 {
		s.files[whole.Index].lease(lease)
		return
	}
	data := bytes.Clone(whole.Data)
	s.hold(whole.Index, whole.Number, data, column.WholeRoot(whole.Index, data), lease)
}

// Fetch implements share.Batcher.
func (s *Store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(indexes) > share.MaxBatchShares {
		return nil, fmt.Errorf("fetch: %w: %d indexes, at most %d", share.ErrTooLarge, len(indexes), share.MaxBatchShares)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([][]share.WholeShare, len(indexes))
	room := share.MaxBatchBytes
	for i, index := range indexes {
		found[i] = s.whole(index, &room)
	}
	return found, nil
}

// whole returns the small shares of a file, as far as there is room for them.
func (s *Store) whole(index share.StorageIndex, room *int) []share.WholeShare {
	f := s.files[index]
	if f == nil {
		return nil
	}
	var found []share.WholeShare
	for _, n := range slices.Sorted(maps.Keys(f.shares)) {
		data := f.shares[n]
		if len(data) <= share.MaxWholeShare && len(data) <= *room {
			*room -= len(data)
			found = append(found, share.WholeShare{Index: index, Number: n, Data: bytes.Clone(data)})
		}
	}
	return found
}
