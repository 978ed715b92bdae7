package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"cairn/share"
)

// Names implements share.NameMover.
func (s *Store) Names(ctx context.Context, after share.Name, limit int) ([]share.Name, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []share.Name
	for of := range s.names {
		if bytes.Compare(of[:], after[:]) > 0 {
			names = append(names, of)
		}
	}
	slices.SortFunc(names, func(a, b share.Name) int { return bytes.Compare(a[:], b[:]) })
	return names[:min(limit, len(names))], ctx.Err()
}

// Updates implements share.NameMover. A name has no lease of its own here: what it gets elsewhere runs for a year.
func (s *Store) Updates(ctx context.Context, of share.Name) ([]share.HeadUpdate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.names[of]
	if n == nil {
		return nil, fmt.Errorf("name %s: %w", of, share.ErrNotFound)
	}
	var updates []share.HeadUpdate
	var before share.Digest
	for i, v := range slices.Backward(n.versions) {
		u := share.HeadUpdate{
			Name: of, Record: bytes.Clone(v.record), Replaces: before, Adds: slices.Clone(v.adds), Drops: slices.Collect(maps.Keys(v.drops)),
			Retention: share.Retention{Versions: share.MaxHistory}, Lease: share.Lease{Owner: v.owner, Expires: time.Now().Add(share.DefaultLease)},
		}
		if i == 0 {
			u.Retention, u.Lease.Owner = n.retention, n.owner
		}
		before = v.head.Digest
		updates = append(updates, u)
	}
	return updates, ctx.Err()
}

// DropName implements share.NameMover.
func (s *Store) DropName(ctx context.Context, of share.Name, newest share.Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.names[of]
	if n == nil {
		return nil
	}
	if n.versions[0].head.Digest != newest {
		return &share.ConflictError{Name: of, Record: bytes.Clone(n.versions[0].record)}
	}
	s.used -= n.size()
	delete(s.names, of)
	return nil
}
