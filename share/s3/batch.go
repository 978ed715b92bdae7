package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/column"
)

type place struct {
	index  share.StorageIndex
	number share.Number
}

// Put implements share.Batcher. Whatever the batch has goes to the bucket with one request.
func (s *Store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	if err := column.CheckBatch(shares); err != nil {
		return nil, err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return nil, err
	}
	errs := make([]error, len(shares))
	roots := make([][]byte, len(shares))
	for i := range shares {
		roots[i], errs[i] = column.CheckWhole(shares[i])
	}
	claimed, err := s.putNew(ctx, shares, roots, errs, lease, 0)
	if err != nil {
		s.unclaim(lease.Owner, claimed)
		return nil, fmt.Errorf("batch: %w", err)
	}
	return errs, nil
}

// unclaim gives back what a batch that failed had claimed.
func (s *Store) unclaim(owner string, claimed int64) {
	s.space.mu.Lock()
	s.space.add(owner, -claimed)
	s.space.mu.Unlock()
}

// putNew stores the shares that have a root and no error, and gives the lease to those that are held, where so much more than what is offered may
// be taken. It returns what it has claimed of the space for shares that were not stored.
func (s *Store) putNew(ctx context.Context, shares []share.WholeShare, roots [][]byte, errs []error, lease share.Lease, margin int64) (claimed int64, err error) {
	indexes := make([]share.StorageIndex, len(shares))
	for i := range shares {
		indexes[i] = shares[i].Index
	}
	files, err := s.index.files(indexes...)
	if err != nil {
		return 0, err
	}
	record := recordLease(lease)
	var items []item
	var held []share.StorageIndex
	seen := map[place]bool{}
	for i, whole := range shares {
		at := place{whole.Index, whole.Number}
		if errs[i] != nil || seen[at] {
			continue
		}
		if _, have := files[i].share(whole.Number); have {
			held = append(held, whole.Index)
			continue
		}
		size := int64(len(whole.Data))
		if errs[i] = s.space.chargeBeyond(lease.Owner, 0, size, margin); errs[i] != nil {
			continue
		}
		seen[at] = true
		claimed += size
		items = append(items, item{index: whole.Index, number: whole.Number, data: whole.Data, root: len(roots[i]), lease: record})
	}
	if len(held) > 0 {
		err := s.index.update(func(c *change) error {
			_, err := c.renew(held, record)
			return err
		}, nil)
		if err != nil {
			return claimed, err
		}
	}
	if len(items) == 0 {
		return claimed, nil
	}
	err = s.packer.do(ctx, items, func() { s.space.add(lease.Owner, -claimed) })
	if err != nil {
		return claimed, err
	}
	return 0, nil
}

// Fetch implements share.Batcher. Shares that are near each other come with one request.
func (s *Store) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if len(indexes) > share.MaxBatchShares {
		return nil, fmt.Errorf("fetch: %w: %d indexes, at most %d", share.ErrTooLarge, len(indexes), share.MaxBatchShares)
	}
	found, err := s.fetch(ctx, indexes)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return found, nil
}

// A wanted is a small share that is to be fetched, and where it goes.
type wanted struct {
	index share.StorageIndex
	held  shareRecord
	to    *share.WholeShare
}

const (
	fetchers = 8        // requests of one batch at the same time
	fetchGap = 64 << 10 // bytes that are fetched in vain rather than asking twice
)

func (s *Store) fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	files, err := s.index.files(indexes...)
	if err != nil {
		return nil, err
	}
	found := make([][]share.WholeShare, len(indexes))
	var all []wanted
	room := int64(share.MaxBatchBytes)
	for i := range files {
		for _, held := range files[i].Shares {
			if held.Size <= share.MaxWholeShare && held.Size <= room {
				room -= held.Size
				found[i] = append(found[i], share.WholeShare{Index: indexes[i], Number: held.Number})
			}
		}
		for j := range found[i] {
			held, _ := files[i].share(found[i][j].Number)
			all = append(all, wanted{indexes[i], held, &found[i][j]})
		}
	}
	if err := s.fetchAll(ctx, all); err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = slices.DeleteFunc(found[i], func(w share.WholeShare) bool { return w.Data == nil })
	}
	return found, nil
}

// fetchAll fetches shares, those that are near each other at once. What is damaged or gone stays empty.
func (s *Store) fetchAll(ctx context.Context, all []wanted) error {
	slices.SortFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.held.Key, b.held.Key), cmp.Compare(a.held.Offset, b.held.Offset))
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchers)
	for len(all) > 0 {
		n, end := 1, all[0].held.Offset+all[0].held.Size
		for n < len(all) && all[n].held.Key == all[0].held.Key && all[n].held.Offset <= end+fetchGap {
			end = max(end, all[n].held.Offset+all[n].held.Size)
			n++
		}
		near := all[:n]
		all = all[n:]
		group.Go(func() error { return s.fetchNear(ctx, near, end) })
	}
	return group.Wait()
}

func (s *Store) fetchNear(ctx context.Context, near []wanted, end int64) error {
	first := near[0].held.Offset
	data := make([]byte, end-first)
	err := s.bucket.get(ctx, near[0].held.Key, data, first)
	if err != nil && !errors.Is(err, errNoKey) && !errors.Is(err, share.ErrCorrupt) {
		return err
	}
	for _, w := range near {
		if err == nil {
			part := data[w.held.Offset-first:][:w.held.Size:w.held.Size]
			if checksum(part) == w.held.Sum {
				w.to.Data = part
				continue
			}
		}
		whole, err := s.readWhole(ctx, w.index, w.held)
		if errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrNotFound) {
			s.log.Warn("a share in the bucket is damaged or gone", "index", w.index, "number", w.held.Number, "reason", err)
			s.doubt(ctx, w.index, w.held.Number, share.NoSegment, err)
			continue
		}
		if err != nil {
			return err
		}
		w.to.Data = whole
	}
	return nil
}
