package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"cairn/share"
)

// List implements share.Mover.
func (s *Store) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var indexes []share.StorageIndex
	for index := range s.files {
		if bytes.Compare(index[:], after[:]) > 0 {
			indexes = append(indexes, index)
		}
	}
	slices.SortFunc(indexes, func(a, b share.StorageIndex) int { return bytes.Compare(a[:], b[:]) })
	return indexes[:min(limit, len(indexes))], ctx.Err()
}

// Drop implements share.Mover.
func (s *Store) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(index, numbers...)
	return nil
}

// drop removes shares of one file. The mutex is held.
func (s *Store) drop(index share.StorageIndex, numbers ...share.Number) {
	f := s.files[index]
	if f == nil {
		return
	}
	for _, n := range numbers {
		s.used -= int64(len(f.shares[n]))
		delete(f.shares, n)
	}
	for key, p := range s.done {
		if p.Index == index && slices.Contains(numbers, p.Number) {
			delete(s.done, key)
		}
	}
	if len(f.shares) == 0 {
		delete(s.files, index)
	}
}

// Release implements share.Mover.
func (s *Store) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, index := range indexes {
		s.release(index, owner, time.Now())
	}
	return nil
}

// OnRelease implements share.ReleaseTeller.
func (s *Store) OnRelease(tell func(owner string, index share.StorageIndex)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = tell
}
