package s3

import (
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

var _ share.Mover = (*Store)(nil)

// List implements share.Mover.
func (s *Store) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	keys, _, err := s.index.keysAfter(filesBucket, after[:], limit, func(_ *bolt.Tx, _, data []byte) (bool, error) {
		var f fileRecord
		err := unseal(data, &f)
		return len(f.Shares) > 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	indexes := make([]share.StorageIndex, len(keys))
	for i, k := range keys {
		indexes[i] = share.StorageIndex(k)
	}
	return indexes, nil
}

// Drop implements share.Mover. The share leaves the index at once; its object is deleted when nothing in it is needed any more. Until then
// an index that is computed anew from the bucket finds the share again.
func (s *Store) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	err := s.index.update(func(c *change) error {
		f, err := c.file(index)
		if err != nil {
			return err
		}
		for _, held := range slices.Clone(f.Shares) {
			if !slices.Contains(numbers, held.Number) {
				continue
			}
			if err := c.drop(f, held); err != nil {
				return err
			}
		}
		return nil
	}, nil)
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
	for few := range slices.Chunk(indexes, 256) {
		err := s.index.update(func(c *change) error {
			for _, index := range few {
				f, err := c.file(index)
				if err != nil {
					return err
				}
				if len(f.Shares) > 0 && f.leased(owner) {
					f.release(owner, now)
				}
			}
			return nil
		}, nil)
		if err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	return nil
}
