package spill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/head"
)

// farHeads returns the heads that the far store has, asking only for names of which it may have one.
func (s *Store) farHeads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	held := make([]share.HeldHead, len(names))
	var ask []share.Name
	var at []int
	s.mu.Lock()
	for i, name := range names {
		if !s.absent[name] {
			ask, at = append(ask, name), append(at, i)
		}
	}
	s.mu.Unlock()
	if len(ask) == 0 {
		return held, nil
	}
	found, err := s.far.Heads(ctx, ask, shares)
	if err != nil {
		return held, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.absent) > maxAbsent {
		clear(s.absent)
	}
	for i, h := range found {
		held[at[i]] = h
		if h.Record == nil {
			s.absent[ask[i]] = true
		}
	}
	return held, nil
}

// Heads returns the newest head that either store has of each name.
func (s *Store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	held, err := s.near.Heads(ctx, names, shares)
	if ctx.Err() != nil || errors.Is(err, share.ErrTooLarge) {
		return nil, err
	}
	far, farErr := s.farHeads(ctx, names, shares)
	switch {
	case err != nil && farErr != nil:
		return nil, err
	case err != nil:
		held, farErr = far, err
	}
	if farErr != nil && !slices.ContainsFunc(held, func(h share.HeldHead) bool { return h.Record != nil }) {
		return nil, farErr
	}
	var roots []share.StorageIndex
	var at []int
	for i, name := range names {
		if newer(name, far[i].Record, held[i].Record) {
			held[i] = far[i]
		}
		if h, err := head.Parse(name, held[i].Record); shares && err == nil {
			roots, at = append(roots, h.Root), append(at, i)
		}
	}
	s.fillHeads(ctx, held, roots, at)
	return held, nil
}

// fillHeads adds to heads those shares of their files that are in the other store.
func (s *Store) fillHeads(ctx context.Context, held []share.HeldHead, roots []share.StorageIndex, at []int) {
	if len(roots) == 0 {
		return
	}
	found := make([][]share.WholeShare, len(roots))
	for i, k := range at {
		found[i] = held[k].Shares
	}
	s.fetchNear(ctx, roots, found)
	s.fetchFar(ctx, roots, found)
	for i, k := range at {
		held[k].Shares = found[i]
	}
}

// fetchNear adds what the near store has where nothing was found: a head may be far while its shares are near.
func (s *Store) fetchNear(ctx context.Context, indexes []share.StorageIndex, found [][]share.WholeShare) {
	var ask []share.StorageIndex
	var at []int
	for i, index := range indexes {
		if len(found[i]) == 0 {
			ask, at = append(ask, index), append(at, i)
		}
	}
	if len(ask) == 0 {
		return
	}
	got, err := s.near.Fetch(ctx, ask)
	if err != nil {
		s.log.Warn("small shares cannot be fetched from the near store", "error", err)
		return
	}
	for i, k := range at {
		found[k] = got[i]
	}
}

// newer reports whether a record is that of a newer head than another, which may be nil.
func newer(name share.Name, record, than []byte) bool {
	a, err := head.Parse(name, record)
	if err != nil {
		return false
	}
	b, err := head.Parse(name, than)
	return err != nil || head.Newer(a, b)
}

// History implements share.HeadStore, with the records that either store holds.
func (s *Store) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	records, err := s.near.History(ctx, name, since)
	if err != nil {
		return nil, err
	}
	held, err := s.farHeads(ctx, []share.Name{name}, false)
	if err != nil && len(records) > 0 {
		return records, nil
	}
	if err != nil || held[0].Record == nil {
		return records, err
	}
	more, err := s.far.History(ctx, name, since)
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		if !contains(records, r) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b []byte) int {
		if newer(name, a, b) {
			return -1
		}
		return 1
	})
	return records[:min(len(records), share.MaxHistory)], nil
}

func contains(records [][]byte, record []byte) bool {
	return slices.ContainsFunc(records, func(r []byte) bool { return bytes.Equal(r, record) })
}

// home returns the store in which the newest head of a name is, the near one for a name that has none, and the head's record.
func (s *Store) home(ctx context.Context, u share.HeadUpdate) (Part, []byte, error) {
	names := []share.Name{u.Name}
	near, err := s.near.Heads(ctx, names, false)
	if err != nil {
		return nil, nil, err
	}
	far, err := s.farHeads(ctx, names, false)
	if err != nil && near[0].Record == nil && u.Replaces != (share.Digest{}) {
		return nil, nil, fmt.Errorf("the far store does not say whether it has a head: %w", err)
	}
	if newer(u.Name, far[0].Record, near[0].Record) {
		return s.far, far[0].Record, nil
	}
	return s.near, near[0].Record, nil
}

// naming returns the lock of a name.
func (s *Store) naming(name share.Name) *sync.Mutex { return &s.names[name[0]%byte(len(s.names))] }

// SetHead stores a version. A name that is new begins in the near store, with its small shares where there is room for them. One that
// the near store is too full for even without shares goes to the far store with all its history, until Drain brings it back.
func (s *Store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := column.CheckUpdate(u, time.Now()); err != nil {
		return err
	}
	next, err := head.Parse(u.Name, u.Record)
	if err != nil {
		return err
	}
	lock := s.naming(u.Name)
	lock.Lock()
	defer lock.Unlock()
	home, record, err := s.home(ctx, u)
	if err != nil {
		return err
	}
	if home == s.far {
		if err = s.far.SetHead(ctx, u); err == nil {
			s.stored(ctx, s.far, placesOf(u.Shares))
		}
	} else {
		home, err = s.setNear(ctx, u, next, record)
	}
	if err != nil {
		return err
	}
	s.versionStored(ctx, home, u)
	return nil
}

// setNear stores a version of a name whose newest record is in the near store, or that has none. It returns where the version is.
func (s *Store) setNear(ctx context.Context, u share.HeadUpdate, next head.Head, record []byte) (Part, error) {
	size := int64(len(u.Record))
	for _, w := range u.Shares {
		size += int64(len(w.Data))
	}
	if s.room(ctx, s.high) >= size {
		if err := s.near.SetHead(ctx, u); !full(err) {
			if err == nil {
				s.stored(ctx, s.near, placesOf(u.Shares))
			}
			return s.near, err
		}
	}
	bare := u
	bare.Shares = nil
	if !follows(u, next, record) {
		return s.near, s.refuse(ctx, bare, record)
	}
	if err := s.putFar(ctx, u); err != nil {
		s.log.Warn("small shares of a version cannot go to the far store", "error", err)
		return s.near, s.near.SetHead(ctx, u)
	}
	if err := s.near.SetHead(ctx, bare); !full(err) {
		return s.near, err
	}
	if err := s.moveName(ctx, u); err != nil {
		return nil, fmt.Errorf("move a name to the far store: %w", err)
	}
	return s.far, s.far.SetHead(ctx, bare)
}

// follows reports whether an update can follow a record.
func follows(u share.HeadUpdate, next head.Head, record []byte) bool {
	if record == nil {
		return u.Replaces == share.Digest{}
	}
	newest, err := head.Parse(u.Name, record)
	return err == nil && u.Replaces == newest.Digest && next.Sequence > newest.Sequence
}

// putFar stores the small shares of a version in the far store.
func (s *Store) putFar(ctx context.Context, u share.HeadUpdate) error {
	if len(u.Shares) == 0 {
		return nil
	}
	errs, err := s.far.Put(ctx, u.Shares, u.Lease)
	if err == nil {
		err = errors.Join(errs...)
	}
	if err == nil {
		s.stored(ctx, s.far, placesOf(u.Shares))
	}
	return err
}

func placesOf(shares []share.WholeShare) []place {
	places := make([]place, len(shares))
	for i, w := range shares {
		places[i] = place{w.Index, w.Number}
	}
	return places
}

// refuse answers an update that does not follow the record that the near store has: it is held already, or a conflict.
func (s *Store) refuse(ctx context.Context, bare share.HeadUpdate, record []byte) error {
	err := s.near.SetHead(ctx, bare)
	if !full(err) {
		return err
	}
	records, err := s.near.History(ctx, bare.Name, 0)
	if err != nil || contains(records, bare.Record) {
		return err
	}
	return &share.ConflictError{Name: bare.Name, Record: record}
}

// moveName stores the versions of a name that the near store has in the far store.
func (s *Store) moveName(ctx context.Context, u share.HeadUpdate) error {
	records, err := s.near.History(ctx, u.Name, 0)
	if err != nil {
		return err
	}
	held, err := s.far.History(ctx, u.Name, 0)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.absent, u.Name)
	s.mu.Unlock()
	before := share.Digest{}
	if len(held) > 0 {
		before = sha256.Sum256(held[0])
	}
	for _, record := range slices.Backward(records) {
		if contains(held, record) || len(held) > 0 && !newer(u.Name, record, held[0]) {
			continue
		}
		version := share.HeadUpdate{
			Name: u.Name, Record: record, Replaces: before, Lease: u.Lease, Retention: share.Retention{Versions: share.MaxHistory},
		}
		if err := s.far.SetHead(ctx, version); err != nil {
			return err
		}
		before = sha256.Sum256(record)
	}
	return nil
}

// versionStored gives the files of a version that are in the other store than its head the lease on it, and ends there what the version
// has ended.
func (s *Store) versionStored(ctx context.Context, home Part, u share.HeadUpdate) {
	other := s.other(home)
	if added := s.holding(ctx, other, u.Adds); len(added) > 0 {
		if err := notMissing(other.Renew(ctx, added, u.Lease)); err != nil {
			s.log.Warn("files of a version have no new lease in the other store", "error", err)
		}
	}
	if err := s.Settle(ctx); err != nil {
		s.log.Warn("leases that a version has ended stay in the other store until they end", "error", err)
	}
}
