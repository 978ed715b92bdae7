package disk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cairn/share"
)

// List implements share.Mover.
func (s *Store) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	return s.index.after(after, limit)
}

// Drop implements share.Mover.
func (s *Store) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	defer s.lockPlace(index)()
	var gone []goner
	err := s.committer.do(ctx, func(b *batch) error {
		gone = nil
		f, err := b.file(index)
		if err != nil {
			return err
		}
		for _, held := range slices.Clone(f.Shares) {
			if !slices.Contains(numbers, held.Number) {
				continue
			}
			g := goner{index: index, share: held, upload: s.uploadOf(index, held)}
			if err := b.lose(g); err != nil {
				return err
			}
			gone = append(gone, g)
		}
		return nil
	})
	if err == nil {
		_, err = s.removeFiles(gone)
	}
	if err != nil {
		return fmt.Errorf("drop shares of %s: %w", index, err)
	}
	return nil
}

// Release implements share.Mover.
func (s *Store) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	now := time.Now()
	for part := range slices.Chunk(indexes, 256) {
		err := s.committer.do(ctx, func(b *batch) error {
			for _, index := range part {
				if err := b.release(index, owner, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	return nil
}

// OnRelease implements share.ReleaseTeller.
func (s *Store) OnRelease(tell func(owner string, index share.StorageIndex)) {
	if tell == nil {
		s.committer.released.Store(nil)
		return
	}
	s.committer.released.Store(&tell)
}

// HeldElsewhere implements share.NameKeeper.
func (s *Store) HeldElsewhere(ask func(share.StorageIndex) bool) {
	if ask == nil {
		s.elsewhere.Store(nil)
		return
	}
	s.elsewhere.Store(&ask)
}

// heldElsewhere reports whether another store is known to hold shares of a file.
func (s *Store) heldElsewhere(index share.StorageIndex) bool {
	ask := s.elsewhere.Load()
	return ask != nil && (*ask)(index)
}
