package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/head"
)

// Heads implements share.HeadStore. Of a version that the disk has damaged it returns the one before.
func (s *Store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if len(names) > share.MaxHeadNames {
		return nil, fmt.Errorf("heads: %w: %d names, at most %d", share.ErrTooLarge, len(names), share.MaxHeadNames)
	}
	held := make([]share.HeldHead, len(names))
	room := int64(share.MaxBatchBytes)
	for i, name := range names {
		records, root, err := s.versions(ctx, name, 0, 1)
		if err != nil {
			return nil, fmt.Errorf("head of %s: %w", name, err)
		}
		if len(records) == 0 {
			continue
		}
		held[i].Record = records[0]
		if !shares {
			continue
		}
		if held[i].Shares, err = s.wholes(ctx, root, &room); err != nil {
			return nil, fmt.Errorf("head of %s: %w", name, err)
		}
	}
	return held, nil
}

// History implements share.HeadStore. A version that the disk has damaged is left out.
func (s *Store) History(ctx context.Context, name share.Name, since uint64) ([][]byte, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	records, _, err := s.versions(ctx, name, since, share.MaxHistory)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", name, err)
	}
	return records, nil
}

// versions returns the records of the newest versions that can be read, down to a sequence, and the file of the first of them.
func (s *Store) versions(ctx context.Context, name share.Name, since uint64, most int) (records [][]byte, root share.StorageIndex, err error) {
	err = s.whileMoving(func() error {
		var n nameRecord
		if _, err := s.index.get(nameKey(name), &n); err != nil {
			return err
		}
		records = nil
		for _, v := range slices.Backward(n.Versions) {
			if len(records) == most || v.Sequence < since {
				break
			}
			if err := s.ready(ctx); err != nil {
				return err
			}
			r, err := s.journal.readHead(v)
			if errors.Is(err, share.ErrCorrupt) || err == nil && !v.is(name, r) {
				s.log.Error("a version of a name is damaged in the journal", "name", name, "sequence", v.Sequence, "segment", v.At.Segment, "offset", v.At.Offset)
				continue
			}
			if err != nil {
				return err
			}
			if len(records) == 0 {
				root = r.Root
			}
			records = append(records, r.Record)
		}
		return nil
	})
	return records, root, err
}

// moves bounds how often a read begins anew because the journal's segment was removed meanwhile.
const moves = 3

// whileMoving calls read, again when what it looked for in the journal has moved to another segment meanwhile.
func (s *Store) whileMoving(read func() error) error {
	var err error
	for range moves {
		if err = read(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", share.ErrCorrupt, err)
}

// A headUpdate is an update whose signature and shares were checked.
type headUpdate struct {
	share.HeadUpdate
	head   head.Head
	shares []journalRecord
	lease  leaseRecord
	bytes  int64
}

// SetHead implements share.HeadStore. The version's shares and the head are in one append to the journal, the head behind
// the shares. A record that is held already may lengthen the lease
// on the head.
func (s *Store) SetHead(ctx context.Context, update share.HeadUpdate) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	u, err := s.checkUpdate(update)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	c := claim{space: s.space, owner: u.lease.Owner}
	defer c.release()
	err = c.grow(u.bytes)
	if errors.Is(err, share.ErrNoSpace) && s.lightens(u) {
		err = c.growBeyond(u.bytes, s.space.removals())
	}
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	c.charge(u.bytes)
	if err := s.committer.finish(ctx, &c, func(b *batch) error { return b.setHead(u, s.ageClock) }); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return nil
}

// lightens reports whether a version replaces another one and brings no more than it drops.
func (s *Store) lightens(u headUpdate) bool {
	if u.Replaces == (share.Digest{}) {
		return false
	}
	left := int64(lighterBy)
	for _, r := range u.shares {
		left -= r.Size
	}
	seen := map[share.StorageIndex]bool{}
	for _, index := range u.Drops {
		if f, err := s.index.file(index); err == nil && !seen[index] {
			left += f.charge().bytes
		}
		seen[index] = true
	}
	return left >= 0
}

// checkUpdate checks all of an update that can be checked without what the store holds.
func (s *Store) checkUpdate(update share.HeadUpdate) (headUpdate, error) {
	u := headUpdate{HeadUpdate: update, lease: recordLease(update.Lease)}
	if err := column.CheckUpdate(update, time.Now()); err != nil {
		return u, err
	}
	var err error
	if u.head, err = head.Parse(update.Name, update.Record); err != nil {
		return u, err
	}
	u.bytes = int64(frameCost + len(update.Record) + len(share.StorageIndex{})*(len(update.Adds)+len(update.Drops)))
	for _, w := range update.Shares {
		r := wholeRecord(w, column.WholeRoot(w.Index, w.Data), u.lease)
		u.shares, u.bytes = append(u.shares, r), u.bytes+r.Size
	}
	return u, nil
}

// setHead stores a version's shares and its head. It changes nothing of the batch when it returns an error, unless the
// index or the journal fails.
func (b *batch) setHead(u headUpdate, now func(time.Duration) time.Time) error {
	n, err := b.name(u.Name)
	if err != nil {
		return err
	}
	for _, r := range u.shares {
		f, err := b.file(r.Index)
		if err == nil {
			err = f.leasable(r.Lease.Owner)
		}
		if err != nil {
			return err
		}
	}
	if held, err := b.holds(n, u); err != nil {
		return err
	} else if held {
		n.extend(u.lease)
		return b.storeAll(u.shares)
	}
	if ok, err := b.follows(n, u); err != nil {
		return err
	} else if !ok {
		return b.conflict(u.Name, n)
	}
	if err := b.begin(); err != nil {
		return err
	}
	group := len(b.frames)
	if err := b.storeAll(u.shares); err != nil {
		return err
	}
	r := headRecord{
		Name: u.Name, Record: slices.Clone(u.Record), Sequence: u.head.Sequence, Root: u.head.Root, Adds: joinIndexes(u.Adds), Drops: joinIndexes(u.Drops),
		Keep: recordRetention(u.Retention), Lease: u.lease, Taken: time.Now().UnixMilli(), Group: int64(len(b.frames) - group),
	}
	at, err := b.log(kindHead, r)
	if err != nil {
		return err
	}
	b.taken[at] = r
	if err := b.putVersion(n, r, at, b.state.At.Offset-at.Offset); err != nil {
		return err
	}
	_, err = b.retire(u.Name, n, now)
	return err
}

func (b *batch) storeAll(shares []journalRecord) error {
	for _, r := range shares {
		if err := b.store(kindSmall, r); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether the record of an update is one of the versions that are held.
func (b *batch) holds(n *nameRecord, u headUpdate) (bool, error) {
	if n.Newest == u.head.Digest {
		return true, nil
	}
	i, found := n.find(u.head.Sequence)
	if !found || u.head.Sequence == n.newest() {
		return false, nil
	}
	r, err := b.version(n.Versions[i])
	return err == nil && sha256.Sum256(r.Record) == u.head.Digest, err
}

// extend lengthens the lease on the head. There is one: who asks for a longer one than another has takes it over, and is charged
// from then on, so that what somebody left behind stays for those who still want it.
func (r *nameRecord) extend(l leaseRecord) {
	if l.Expires > r.Lease.Expires {
		r.Lease = l
		r.changed = true
	}
}

// conflict says which head is there instead.
func (b *batch) conflict(name share.Name, n *nameRecord) error {
	conflict := &share.ConflictError{Name: name}
	if len(n.Versions) == 0 {
		return conflict
	}
	r, err := b.version(n.Versions[len(n.Versions)-1])
	if err != nil {
		return err
	}
	conflict.Record = r.Record
	return conflict
}
