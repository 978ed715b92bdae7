package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/head"
)

// Grace is how long a share without any lease stays.
const Grace = time.Hour

// A name is what the store holds of one mutable name.
type name struct {
	owner     string     // who set the newest version
	versions  []*version // the newest first, never empty
	retention share.Retention
}

// A version is one head of a name.
type version struct {
	record   []byte
	head     head.Head
	owner    string
	replaced time.Time // zero for the newest
	adds     []share.StorageIndex
	// drops are the files of the version before that this one no longer has, until they are released.
	drops map[share.StorageIndex]bool
}

func (n *name) size() int64 {
	var total int64
	for _, v := range n.versions {
		total += int64(len(v.record))
	}
	return total
}

// holds reports whether a record is the newest or a past one of the name.
func (n *name) holds(record []byte) bool {
	return n != nil && slices.ContainsFunc(n.versions, func(v *version) bool { return bytes.Equal(v.record, record) })
}

// Heads implements share.HeadStore.
func (s *Store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(names) > share.MaxHeadNames {
		return nil, fmt.Errorf("heads: %w: %d names, at most %d", share.ErrTooLarge, len(names), share.MaxHeadNames)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]share.HeldHead, len(names))
	room := share.MaxBatchBytes
	for i := range names {
		n := s.names[names[i]]
		if n == nil {
			continue
		}
		held[i].Record = bytes.Clone(n.versions[0].record)
		if shares {
			held[i].Shares = s.whole(n.versions[0].head.Root, &room)
		}
	}
	return held, nil
}

// History implements share.HeadStore.
func (s *Store) History(ctx context.Context, of share.Name, since uint64) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var records [][]byte
	if n := s.names[of]; n != nil {
		for _, v := range n.versions {
			if v.head.Sequence < since {
				break
			}
			records = append(records, bytes.Clone(v.record))
		}
	}
	return records, nil
}

// SetHead implements share.HeadStore.
func (s *Store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	if err := column.CheckUpdate(u, now); err != nil {
		return err
	}
	parsed, err := head.Parse(u.Name, u.Record)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.names[u.Name]
	if n.holds(u.Record) {
		return nil
	}
	if err := n.follows(u, parsed); err != nil {
		return err
	}
	if err := s.takeUpdate(u); err != nil {
		return err
	}
	if n == nil {
		n = &name{}
		s.names[u.Name] = n
	}
	s.set(n, u, parsed, now)
	return nil
}

// follows returns a *share.ConflictError unless the update can follow what is held of the name.
func (n *name) follows(u share.HeadUpdate, next head.Head) error {
	if n == nil {
		if u.Replaces != (share.Digest{}) {
			return &share.ConflictError{Name: u.Name}
		}
		return nil
	}
	if newest := n.versions[0]; u.Replaces != newest.head.Digest || next.Sequence <= newest.head.Sequence {
		return &share.ConflictError{Name: u.Name, Record: bytes.Clone(newest.record)}
	}
	return nil
}

// takeUpdate counts what an update brings as used, or returns ErrNoSpace.
func (s *Store) takeUpdate(u share.HeadUpdate) error {
	type place struct {
		index  share.StorageIndex
		number share.Number
	}
	grows := int64(len(u.Record))
	seen := map[place]bool{}
	for _, whole := range u.Shares {
		if at := (place{whole.Index, whole.Number}); !seen[at] {
			seen[at] = true
			grows += s.growth(whole)
		}
	}
	return s.take(grows)
}

// set makes an update the newest version of the name.
func (s *Store) set(n *name, u share.HeadUpdate, parsed head.Head, now time.Time) {
	for _, whole := range u.Shares {
		s.holdWhole(whole, u.Lease)
	}
	next := &version{record: bytes.Clone(u.Record), head: parsed, owner: u.Lease.Owner, adds: slices.Clone(u.Adds), drops: map[share.StorageIndex]bool{}}
	for _, index := range u.Drops {
		next.drops[index] = true
	}
	if len(n.versions) > 0 {
		n.versions[0].replaced = now
	}
	n.owner, n.retention = u.Lease.Owner, u.Retention
	n.versions = slices.Insert(n.versions, 0, next)
	for _, index := range u.Adds {
		if f := s.files[index]; f != nil {
			f.lease(u.Lease)
		}
		for _, v := range n.versions {
			delete(v.drops, index)
		}
	}
	s.retain(n, u.Retention, now)
}

// retain forgets the versions that a retention does not keep, and releases what only they had.
func (s *Store) retain(n *name, r share.Retention, now time.Time) {
	var replaced []time.Time
	for _, v := range n.versions[1:] {
		replaced = append(replaced, v.replaced)
	}
	kept := 1 + column.Kept(r, replaced, now)
	for i := kept; i < len(n.versions); i++ {
		s.used -= int64(len(n.versions[i].record))
		follower := n.versions[i-1]
		for index := range follower.drops {
			s.release(index, follower.owner, now)
			if s.released != nil {
				s.released(follower.owner, index)
			}
		}
		clear(follower.drops)
	}
	n.versions = slices.Delete(n.versions, kept, len(n.versions))
}

// release ends the lease of an owner.
func (s *Store) release(index share.StorageIndex, owner string, now time.Time) {
	f := s.files[index]
	if f == nil {
		return
	}
	delete(f.leases, owner)
	if len(f.leases) == 0 && f.unheld.IsZero() {
		f.unheld = now
	}
}

// Collect deletes the files on which there has been no lease since Grace before now, and returns how many bytes they had.
func (s *Store) Collect(now time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var freed int64
	for index, f := range s.files {
		since := f.unheld
		for _, ends := range f.leases {
			if ends.After(since) {
				since = ends
			}
		}
		if now.Sub(since) > Grace {
			freed += f.size()
			delete(s.files, index)
		}
	}
	s.used -= freed
	for key, p := range s.done {
		if s.files[p.Index] == nil {
			delete(s.done, key)
		}
	}
	return freed
}
