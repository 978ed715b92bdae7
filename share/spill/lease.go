package spill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// Renew extends the owner's lease in both stores.
func (s *Store) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return err
	}
	// The far store first: what comes back brings its leases to a place that is renewed after this.
	far, farErr := s.far.Numbers(ctx, indexes)
	held := map[share.StorageIndex]bool{}
	var away []share.StorageIndex
	for _, h := range far {
		if len(h.Numbers) > 0 {
			held[h.Index] = true
			away = append(away, h.Index)
		}
	}
	if len(away) > 0 {
		if farErr = notMissing(s.far.Renew(ctx, away, lease)); farErr == nil {
			farErr = s.renewKept(ctx, away, lease)
		}
	}
	err := s.near.Renew(ctx, indexes, lease)
	if farErr != nil {
		return fmt.Errorf("renew in the far store: %w", farErr)
	}
	if !errors.Is(err, share.ErrNotFound) {
		return err
	}
	near, err := s.near.Numbers(ctx, indexes)
	if err != nil {
		return err
	}
	for _, h := range near {
		if len(h.Numbers) == 0 && !held[h.Index] {
			return fmt.Errorf("renew %s: %w", h.Index, share.ErrNotFound)
		}
	}
	return nil
}

func notMissing(err error) error {
	if errors.Is(err, share.ErrNotFound) {
		return nil
	}
	return err
}

// unite gives a file that is in both stores the leases of both in both.
func (s *Store) unite(ctx context.Context, index share.StorageIndex) error {
	near, err := s.near.Leases(ctx, index)
	if err != nil {
		return notMissing(err)
	}
	far, err := s.far.Leases(ctx, index)
	if err != nil {
		return notMissing(err)
	}
	return errors.Join(carry(ctx, s.near, index, near, far), carry(ctx, s.far, index, far, near))
}

// carry adds to a store that has some leases on a file those that another one has and that have not ended.
func carry(ctx context.Context, to Part, index share.StorageIndex, has, want []share.Lease) error {
	now := time.Now()
	for _, l := range want {
		longEnough := func(h share.Lease) bool { return h.Owner == l.Owner && !h.Expires.Before(l.Expires) }
		if !l.Expires.After(now) || isKeeper(l.Owner) || slices.ContainsFunc(has, longEnough) {
			continue
		}
		if err := to.Renew(ctx, []share.StorageIndex{index}, l); err != nil {
			return notMissing(err)
		}
	}
	return nil
}

// ended notes that a version of a name has ended a lease in one of the stores.
func (s *Store) ended(side int, owner string, index share.StorageIndex) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[side] = append(s.pending[side], release{owner, index})
	if side == 1 { // its own is ended there already, but not what keeps a copy
		s.pending[0] = append(s.pending[0], release{owner, index})
	}
}

// Settle ends in each store the leases that versions of names have ended in the other. SetHead and Drain do so by themselves; it is to
// be called after what else makes versions fall out of their retention.
func (s *Store) Settle(ctx context.Context) error {
	s.mu.Lock()
	pending := s.pending
	s.pending = [2][]release{}
	s.mu.Unlock()
	return errors.Join(s.settle(ctx, s.far, pending[0]), s.settle(ctx, s.near, pending[1]))
}

func (s *Store) settle(ctx context.Context, part Part, ended []release) error {
	of := map[string][]share.StorageIndex{}
	for _, r := range ended {
		of[r.owner] = append(of[r.owner], r.index)
	}
	var errs []error
	for owner, indexes := range of {
		held := s.holding(ctx, part, indexes)
		if len(held) == 0 {
			continue
		}
		errs = append(errs, part.Release(ctx, owner, held))
		if part == s.far {
			errs = append(errs, part.Release(ctx, keeperOf(owner), held))
		}
	}
	return errors.Join(errs...)
}

// List implements share.Mover.
func (s *Store) List(ctx context.Context, after share.StorageIndex, limit int) ([]share.StorageIndex, error) {
	far, err := s.far.List(ctx, after, limit) // first, as in Numbers
	if err != nil {
		return nil, err
	}
	near, err := s.near.List(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	all := append(near, far...)
	slices.SortFunc(all, func(a, b share.StorageIndex) int { return bytes.Compare(a[:], b[:]) })
	all = slices.Compact(all)
	return all[:min(limit, len(all))], nil
}

// Each calls fn with every storage index of which shares are held, in order, until fn returns an error.
func (s *Store) Each(ctx context.Context, fn func(share.StorageIndex) error) error {
	return each(ctx, s, fn)
}

func each(ctx context.Context, of share.Mover, fn func(share.StorageIndex) error) error {
	const page = 1024
	for after := (share.StorageIndex{}); ; {
		found, err := of.List(ctx, after, page)
		if err != nil {
			return err
		}
		for _, index := range found {
			if err := fn(index); err != nil {
				return err
			}
			after = index
		}
		if len(found) == 0 {
			return nil
		}
	}
}

// Leases implements share.Mover.
func (s *Store) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	far, farErr := s.far.Leases(ctx, index)
	near, err := s.near.Leases(ctx, index)
	if err != nil && farErr != nil {
		return nil, cmp.Or(notMissing(err), farErr)
	}
	if err := cmp.Or(notMissing(err), notMissing(farErr)); err != nil {
		return nil, err
	}
	for _, l := range far {
		i := slices.IndexFunc(near, func(n share.Lease) bool { return n.Owner == l.Owner })
		switch {
		case i < 0:
			near = append(near, l)
		case l.Expires.After(near[i].Expires):
			near[i] = l
		}
	}
	near = withoutKeepers(near)
	slices.SortFunc(near, func(a, b share.Lease) int { return strings.Compare(a.Owner, b.Owner) })
	return near, nil
}

// Drop implements share.Mover.
func (s *Store) Drop(ctx context.Context, index share.StorageIndex, numbers []share.Number) error {
	return errors.Join(s.far.Drop(ctx, index, numbers), s.near.Drop(ctx, index, numbers))
}

// Release implements share.Mover.
func (s *Store) Release(ctx context.Context, owner string, indexes []share.StorageIndex) error {
	return errors.Join(s.settle(ctx, s.far, releases(owner, indexes)), s.near.Release(ctx, owner, indexes))
}

func releases(owner string, indexes []share.StorageIndex) []release {
	all := make([]release, len(indexes))
	for i, index := range indexes {
		all[i] = release{owner, index}
	}
	return all
}

// Usage implements share.Accounter. A share that is just being brought back counts once.
func (s *Store) Usage(ctx context.Context) (map[string]int64, error) {
	usage, err := s.near.Usage(ctx)
	if err != nil {
		return nil, err
	}
	far, err := s.far.Usage(ctx)
	if err != nil {
		return nil, err
	}
	for owner, n := range far {
		if !isKeeper(owner) { // who has leases of its own on its copies
			usage[owner] += n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for owner, n := range s.moving {
		if usage[owner] = max(0, usage[owner]-n); usage[owner] == 0 {
			delete(usage, owner)
		}
	}
	return usage, nil
}

// UsageOf implements share.Accounter.
func (s *Store) UsageOf(ctx context.Context, owner string) (int64, error) {
	near, err := s.near.UsageOf(ctx, owner)
	if err != nil {
		return 0, err
	}
	far, err := s.far.UsageOf(ctx, owner)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, near+far-s.moving[owner]), nil
}

// LeaseCost implements share.Accounter.
func (s *Store) LeaseCost(ctx context.Context, owner string, indexes []share.StorageIndex) (int64, error) {
	near, err := s.near.LeaseCost(ctx, owner, indexes)
	if err != nil {
		return 0, err
	}
	far, err := s.far.LeaseCost(ctx, owner, indexes)
	return near + far, err
}
