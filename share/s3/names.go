package s3

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
	"cairn/share/head"
)

var _ share.NameMover = (*Store)(nil)

// Names implements share.NameMover.
func (s *Store) Names(ctx context.Context, after share.Name, limit int) ([]share.Name, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	keys, _, err := s.index.keysAfter(namesBucket, after[:], limit, func(*bolt.Tx, []byte, []byte) (bool, error) { return true, nil })
	if err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	names := make([]share.Name, len(keys))
	for i, k := range keys {
		names[i] = share.Name(k)
	}
	return names, nil
}

// Updates implements share.NameMover.
func (s *Store) Updates(ctx context.Context, of share.Name) ([]share.HeadUpdate, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	n, err := s.index.name(of)
	if err == nil && len(n.Versions) == 0 {
		err = share.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("name %s: %w", of, err)
	}
	var updates []share.HeadUpdate
	var before share.Digest
	for i := range slices.Backward(n.Versions) {
		v := &n.Versions[i]
		u := share.HeadUpdate{
			Name: of, Record: v.Record, Replaces: before, Adds: v.Adds, Drops: v.Drops, Retention: share.Retention{Versions: share.MaxHistory},
			Lease: share.Lease{Owner: v.Owner, Expires: time.Unix(n.Lease.Expires, 0)},
		}
		if i == 0 {
			u.Lease.Owner, u.Retention = n.Lease.Owner, share.Retention{Versions: n.Versioned, Age: n.Age}
		}
		parsed, err := head.Parse(of, v.Record)
		if err != nil {
			return nil, fmt.Errorf("name %s: %w", of, err)
		}
		before = parsed.Digest
		updates = append(updates, u)
	}
	return updates, nil
}

// DropName implements share.NameMover. The object of the name is deleted first: what is left of the index after a crash says more than the
// bucket, which does no harm.
func (s *Store) DropName(ctx context.Context, of share.Name, newest share.Digest) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	unlock, err := s.naming.lock(ctx, of)
	if err != nil {
		return fmt.Errorf("drop name %s: %w", of, err)
	}
	defer unlock()
	n, err := s.index.name(of)
	if err != nil || len(n.Versions) == 0 {
		return err
	}
	if now, err := head.Parse(of, n.Versions[0].Record); err != nil || now.Digest != newest {
		return &share.ConflictError{Name: of, Record: bytes.Clone(n.Versions[0].Record)}
	}
	if err := s.bucket.remove(ctx, headKey(of)); err != nil {
		return fmt.Errorf("drop name %s: %w", of, err)
	}
	err = s.index.update(func(c *change) error {
		for i := range n.Versions {
			for _, index := range n.Versions[i].Adds {
				if err := c.tx.Bucket(wantsBucket).Delete(wantKey(index, of)); err != nil {
					return err
				}
			}
		}
		gone, err := c.name(of)
		if err == nil {
			*gone = nameRecord{Name: of}
		}
		return err
	}, nil)
	if err != nil {
		return fmt.Errorf("drop name %s: %w", of, err)
	}
	return nil
}
