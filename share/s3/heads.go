package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/head"
)

// A nameRecord is what is held of a name: the object of the name, and its record in the index.
type nameRecord struct {
	_         struct{} `cbor:",toarray"`
	Name      share.Name
	Versions  []versionRecord // the newest first
	Lease     leaseRecord     // of who wrote the newest
	Versioned int             // share.Retention
	Age       time.Duration
	Tag       string // of the object; empty in the object itself
}

// A versionRecord is one version of a name.
type versionRecord struct {
	_        struct{} `cbor:",toarray"`
	Record   []byte
	Sequence uint64
	Root     share.StorageIndex
	Owner    string
	Replaced int64 // Unix milliseconds; 0 for the newest
	Adds     []share.StorageIndex
	// Drops are the files of the version before that this one no longer has, until they are released.
	Drops []share.StorageIndex
}

const maxNameObject = 512 << 20 // a bound of what is read of one name: share.MaxHistory versions at their largest

func headKey(of share.Name) string { return headPrefix + of.String() }

func (n *nameRecord) size() int64 {
	var total int64
	for i := range n.Versions {
		total += int64(len(n.Versions[i].Record))
	}
	return total
}

// holds reports whether a record is the newest or a past one of the name.
func (n *nameRecord) holds(record []byte) bool {
	return slices.ContainsFunc(n.Versions, func(v versionRecord) bool { return bytes.Equal(v.Record, record) })
}

// Heads implements share.HeadStore. The bucket is asked only for shares.
func (s *Store) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if len(names) > share.MaxHeadNames {
		return nil, fmt.Errorf("heads: %w: %d names, at most %d", share.ErrTooLarge, len(names), share.MaxHeadNames)
	}
	held := make([]share.HeldHead, len(names))
	var roots []share.StorageIndex
	var of []int
	for i := range names {
		n, err := s.index.name(names[i])
		if err != nil {
			return nil, fmt.Errorf("heads: %w", err)
		}
		if len(n.Versions) > 0 {
			held[i].Record = n.Versions[0].Record
			roots, of = append(roots, n.Versions[0].Root), append(of, i)
		}
	}
	if !shares {
		return held, nil
	}
	found, err := s.fetch(ctx, roots)
	if err != nil {
		return nil, fmt.Errorf("heads: %w", err)
	}
	for i := range found {
		held[of[i]].Shares = found[i]
	}
	return held, nil
}

// History implements share.HeadStore.
func (s *Store) History(ctx context.Context, of share.Name, since uint64) ([][]byte, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	n, err := s.index.name(of)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var records [][]byte
	for i := range n.Versions {
		if n.Versions[i].Sequence < since {
			break
		}
		records = append(records, n.Versions[i].Record)
	}
	return records, nil
}

// SetHead implements share.HeadStore. The shares go to the bucket first; then the object of the name is replaced, if it is still the one that
// the index knows.
func (s *Store) SetHead(ctx context.Context, u share.HeadUpdate) error {
	if err := s.writable(ctx); err != nil {
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
	unlock, err := s.naming.lock(ctx, u.Name)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	defer unlock()
	n, err := s.index.name(u.Name)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if n.holds(u.Record) {
		return nil
	}
	if err := n.follows(u, parsed); err != nil {
		return err
	}
	margin, err := s.beyond(u)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if err := s.space.chargeBeyond(u.Lease.Owner, 0, int64(len(u.Record)), margin); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	defer s.unclaim(u.Lease.Owner, int64(len(u.Record)))
	if err := s.putHeadShares(ctx, u, margin); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return s.setHead(ctx, n, u, parsed, now)
}

// follows returns a *share.ConflictError unless the update can follow what is held of the name.
func (n *nameRecord) follows(u share.HeadUpdate, next head.Head) error {
	if len(n.Versions) == 0 {
		if u.Replaces != (share.Digest{}) {
			return &share.ConflictError{Name: u.Name}
		}
		return nil
	}
	newest := n.Versions[0]
	if now, err := head.Parse(u.Name, newest.Record); err != nil || u.Replaces != now.Digest || next.Sequence <= newest.Sequence {
		return &share.ConflictError{Name: u.Name, Record: newest.Record}
	}
	return nil
}

// putHeadShares stores the shares of a version, where so much more than what is offered may be taken. They have been checked.
func (s *Store) putHeadShares(ctx context.Context, u share.HeadUpdate, margin int64) error {
	if len(u.Shares) == 0 {
		return nil
	}
	errs := make([]error, len(u.Shares))
	roots := make([][]byte, len(u.Shares))
	for i, whole := range u.Shares {
		roots[i] = column.WholeRoot(whole.Index, whole.Data)
	}
	claimed, err := s.putNew(ctx, u.Shares, roots, errs, u.Lease, margin)
	if err != nil {
		s.unclaim(u.Lease.Owner, claimed)
	}
	return errors.Join(append(errs, err)...)
}

// setHead replaces the object of a name and then its record in the index.
func (s *Store) setHead(ctx context.Context, n nameRecord, u share.HeadUpdate, parsed head.Head, now time.Time) error {
	next, released := n.next(u, parsed, now)
	if err := s.putNext(ctx, &n, &next); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	err := s.index.update(func(c *change) error {
		if err := c.want(u.Name, u.Adds, recordLease(u.Lease)); err != nil {
			return err
		}
		return c.setName(next, released)
	}, nil)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	return nil
}

// putNext replaces the object of a name by its next version.
func (s *Store) putNext(ctx context.Context, n, next *nameRecord) error {
	for try := 0; ; try++ {
		err := s.putName(ctx, next)
		if try > 1 || !errors.Is(err, errTaken) && !errors.Is(err, errNoKey) {
			return err
		}
		// An earlier attempt has put it, somebody else has put another one, or the owner of the bucket has changed what there was.
		there, _, err := s.reconcile(ctx, next.Name)
		if err != nil {
			return err
		}
		next.Tag = there.Tag
		switch {
		case len(there.Versions) == 0: // nothing, or nothing that makes sense
		case bytes.Equal(there.Versions[0].Record, next.Versions[0].Record):
			return nil
		case len(n.Versions) == 0 || !bytes.Equal(there.Versions[0].Record, n.Versions[0].Record):
			return &share.ConflictError{Name: next.Name, Record: there.Versions[0].Record}
		}
	}
}

// putName replaces the object of a name, if it is the one that the record's tag tells of.
func (s *Store) putName(ctx context.Context, n *nameRecord) error {
	c := condition{absent: n.Tag == "", tag: n.Tag}
	stored := *n
	stored.Tag = ""
	tag, err := s.bucket.put(ctx, headKey(n.Name), seal(stored), c)
	if err == nil {
		n.Tag = tag
	}
	return err
}

// A releasing says that an owner no longer wants a file because of a version of a name.
type releasing struct {
	index share.StorageIndex
	owner string
}

// next returns the record with one version more, and what goes with the versions that fall out.
func (n *nameRecord) next(u share.HeadUpdate, parsed head.Head, now time.Time) (nameRecord, []releasing) {
	next := nameRecord{
		Name: u.Name, Lease: recordLease(u.Lease), Versioned: u.Retention.Versions, Age: u.Retention.Age, Tag: n.Tag,
		Versions: append([]versionRecord{{
			Record: u.Record, Sequence: parsed.Sequence, Root: parsed.Root, Owner: u.Lease.Owner, Adds: u.Adds, Drops: slices.Clone(u.Drops),
		}}, n.Versions...),
	}
	if len(n.Versions) > 0 {
		next.Versions[1].Replaced = now.UnixMilli()
	}
	added := map[share.StorageIndex]bool{}
	for _, index := range u.Adds {
		added[index] = true
	}
	for i := range next.Versions {
		next.Versions[i].Drops = slices.DeleteFunc(slices.Clone(next.Versions[i].Drops), func(index share.StorageIndex) bool { return added[index] })
	}
	return next, next.retain(now)
}

// retain forgets the versions that the retention does not keep, and returns what only they had.
func (n *nameRecord) retain(now time.Time) (released []releasing) {
	var replaced []time.Time
	for i := range n.Versions[1:] {
		replaced = append(replaced, time.UnixMilli(n.Versions[i+1].Replaced))
	}
	kept := 1 + column.Kept(share.Retention{Versions: n.Versioned, Age: n.Age}, replaced, now)
	for i := kept; i < len(n.Versions); i++ {
		follower := &n.Versions[i-1]
		for _, index := range follower.Drops {
			released = append(released, releasing{index, follower.Owner})
		}
		follower.Drops = nil
	}
	n.Versions = n.Versions[:kept:kept]
	return released
}

// wantKey says that a name wants a file.
func wantKey(index share.StorageIndex, of share.Name) []byte { return append(index[:], of[:]...) }

// want leases the files that a version adds, as far as they are held, and notes that the name wants them.
func (c *change) want(of share.Name, indexes []share.StorageIndex, lease leaseRecord) error {
	for _, index := range indexes {
		if err := c.tx.Bucket(wantsBucket).Put(wantKey(index, of), []byte{1}); err != nil {
			return err
		}
	}
	_, err := c.renew(indexes, lease)
	return err
}

// setName replaces the record of a name, and ends leases on what no name wants any more.
func (c *change) setName(next nameRecord, released []releasing) error {
	n, err := c.name(next.Name)
	if err != nil {
		return err
	}
	*n = next
	for _, r := range released {
		if err := c.tx.Bucket(wantsBucket).Delete(wantKey(r.index, next.Name)); err != nil {
			return err
		}
		if k, _ := c.tx.Bucket(wantsBucket).Cursor().Seek(r.index[:]); bytes.HasPrefix(k, r.index[:]) {
			continue // another name wants it
		}
		f, err := c.file(r.index)
		if err != nil {
			return err
		}
		if len(f.Shares) > 0 {
			f.release(r.owner, c.now)
		}
	}
	return nil
}

// readName reads what the bucket has of a name, and the object's tag, which is told of a damaged object too.
func (s *Store) readName(ctx context.Context, of share.Name) (n nameRecord, tag string, err error) {
	data, tag, err := s.bucket.getAll(ctx, headKey(of), maxNameObject)
	if err != nil {
		return nameRecord{}, "", err
	}
	if err := unseal(data, &n); err != nil {
		return nameRecord{}, tag, err
	}
	if err := n.check(of); err != nil {
		return nameRecord{}, tag, err
	}
	n.Tag = tag
	return n, tag, nil
}

// check returns an error that wraps share.ErrCorrupt unless the record can be one of a name: each version has a signature that verifies.
func (n *nameRecord) check(of share.Name) error {
	if n.Name != of || len(n.Versions) == 0 || len(n.Versions) > share.MaxHistory {
		return fmt.Errorf("%w: the object is of another name", share.ErrCorrupt)
	}
	if n.Lease.Owner == "" || len(n.Lease.Owner) > column.MaxOwner {
		return fmt.Errorf("%w: the owner of a head", share.ErrCorrupt)
	}
	var after uint64
	for i := range n.Versions {
		v := &n.Versions[i]
		parsed, err := head.Parse(of, v.Record)
		if err != nil {
			return err
		}
		if parsed.Sequence != v.Sequence || parsed.Root != v.Root || i > 0 && parsed.Sequence >= after ||
			len(v.Owner) > column.MaxOwner || len(v.Adds) > share.MaxHeadIndexes || len(v.Drops) > share.MaxHeadIndexes {
			return fmt.Errorf("%w: version %d of a name is not what its signature says", share.ErrCorrupt, parsed.Sequence)
		}
		after = parsed.Sequence
	}
	return nil
}

// adoptName takes what the bucket has of a name into an index that was lost. All leases run on for some time.
func (s *Store) adoptName(ctx context.Context, of share.Name) (nameRecord, error) {
	n, _, err := s.readName(ctx, of)
	if err != nil {
		return nameRecord{}, err
	}
	return n, s.takeName(n, keptAfterLoss)
}

// takeName puts what the bucket has of a name into the index. Its lease runs for so long at least.
func (s *Store) takeName(n nameRecord, kept time.Duration) error {
	return s.index.update(func(c *change) error {
		n.Lease.Expires = max(n.Lease.Expires, c.now.Add(kept).Unix())
		for i := range slices.Backward(n.Versions) {
			lease := leaseRecord{Owner: n.Versions[i].Owner, Expires: n.Lease.Expires}
			if err := c.want(n.Name, n.Versions[i].Adds, lease); err != nil {
				return err
			}
		}
		return c.setName(n, nil)
	}, nil)
}

// reconcile makes the bucket and the index agree on a name, and returns what both have then. What the bucket has is taken when it is newer.
// When it is older, damaged or gone, it is put right and told: whoever owns the bucket can do that, and no writer does. The name is locked.
func (s *Store) reconcile(ctx context.Context, of share.Name) (now nameRecord, mended bool, err error) {
	here, err := s.index.name(of)
	if err != nil {
		return nameRecord{}, false, err
	}
	there, tag, err := s.readName(ctx, of)
	if err != nil && !errors.Is(err, errNoKey) && !errors.Is(err, share.ErrCorrupt) {
		return nameRecord{}, false, err
	}
	known := len(here.Versions) > 0
	switch {
	case err != nil && !known:
		here.Tag = tag
		return here, false, nil // nothing is known of it, here or there
	case err == nil && (!known || there.Versions[0].Sequence > here.Versions[0].Sequence):
		return there, false, s.takeName(there, 0)
	}
	here.Tag = ""
	same := err == nil && bytes.Equal(seal(here), seal(there.untagged()))
	here.Tag = tag
	if !same {
		if err := s.putName(ctx, &here); err != nil {
			return nameRecord{}, false, err
		}
		why := err
		switch {
		case errors.Is(err, errNoKey):
			why = fmt.Errorf("%w: the head is gone from the bucket", share.ErrNotFound)
		case err == nil:
			why = &share.RollbackError{Name: of, Found: there.Versions[0].Sequence, Seen: here.Versions[0].Sequence}
		}
		s.log.Error("a head in the bucket was not what was stored last, and is put right", "name", of, "reason", why)
		s.tell(Bad{Key: headKey(of), Name: of, Err: why})
	}
	return here, !same, s.index.update(func(c *change) error {
		n, err := c.name(of)
		if err == nil && len(n.Versions) > 0 {
			n.Tag = here.Tag
		}
		return err
	}, nil)
}

func (n *nameRecord) untagged() nameRecord {
	plain := *n
	plain.Tag = ""
	return plain
}
