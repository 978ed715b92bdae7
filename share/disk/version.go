package disk

import (
	"crypto/sha256"
	"errors"
	"time"

	"cairn/share"
)

// name returns the record of a name, to be changed in place.
func (b *batch) name(name share.Name) (*nameRecord, error) {
	if r := b.names[name]; r != nil {
		return r, nil
	}
	r := &nameRecord{}
	if _, err := b.index.get(nameKey(name), r); err != nil {
		return nil, err
	}
	b.names[name], b.nameCharges[name], b.nameSizes[name] = r, r.charge(), r.size()
	return r, nil
}

// wants returns which names want a file, to be changed in place.
func (b *batch) wants(index share.StorageIndex) (*wantRecord, error) {
	if r := b.wanted[index]; r != nil {
		return r, nil
	}
	r := &wantRecord{}
	known, err := b.index.get(wantKey(index), r)
	if err != nil {
		return nil, err
	}
	r.known = known
	b.wanted[index] = r
	return r, nil
}

// nameChanges returns what the index has to write of names; a name's own record is the last of it, so that a version
// is not half known when a process ends between two transactions.
func (b *batch) nameChanges() []change {
	var changes []change
	for index, r := range b.wanted {
		c := change{key: wantKey(index)}
		if len(r.Names) > 0 || r.Many {
			c.data = seal(r)
		}
		if r.changed && (r.known || c.data != nil) {
			changes = append(changes, c)
		}
	}
	changed := false
	for name, r := range b.names {
		if !r.changed {
			continue
		}
		changed = true
		before, after := b.nameSizes[name], r.size()
		b.heads.Bytes += after - before
		c := change{key: nameKey(name)}
		if len(r.Versions) > 0 {
			c.data = seal(r)
		}
		switch {
		case before == 0 && after > 0:
			b.heads.Names++
		case before > 0 && after == 0:
			b.heads.Names--
		}
		changes = append(changes, c)
	}
	if changed {
		changes = append(changes, change{headsKey, seal(b.heads)})
	}
	return changes
}

// putVersion records a version that is in the journal.
func (b *batch) putVersion(n *nameRecord, r headRecord, at position, size int64) error {
	n.changed = true
	v := versionRecord{Sequence: r.Sequence, At: at, Size: size, Charged: r.charged(), Taken: r.Taken}
	if old := n.put(v); old.At != (position{}) && old.At != at {
		b.waste(old.At, old.Size)
	}
	if r.Sequence == n.newest() {
		n.Newest, n.Root, n.Lease, n.Keep = sha256.Sum256(r.Record), r.Root, r.Lease, r.Keep
	}
	for _, index := range splitIndexes(r.Adds) {
		w, err := b.wants(index)
		if err != nil {
			return err
		}
		w.add(wantedBy{Name: r.Name, Sequence: r.Sequence})
		if err := b.leaseHeld(index, r.Lease); err != nil {
			return err
		}
	}
	return nil
}

// leaseHeld adds a lease on a file if shares of it are held. One that has too many owners stays as it is.
func (b *batch) leaseHeld(index share.StorageIndex, l leaseRecord) error {
	f, err := b.file(index)
	if errors.Is(err, share.ErrCorrupt) {
		return nil // the index has told of its damage, and is computed again
	}
	if err != nil || len(f.Shares) == 0 || f.leasable(l.Owner) != nil {
		return err
	}
	return f.lease(l)
}

// retire forgets the versions that are out of the retention and ends the leases on what they alone had. It returns how
// many versions that were.
func (b *batch) retire(name share.Name, n *nameRecord, now func(time.Duration) time.Time) (int, error) {
	retired, release := n.due(now)
	if retired == 0 && !release {
		return 0, nil
	}
	for _, v := range n.Versions[:retired+1] {
		if v.Sequence <= n.Released {
			continue
		}
		if err := b.releaseDropped(name, v); err != nil {
			return 0, err
		}
		n.Released = v.Sequence
	}
	b.drop(n, retired)
	return retired, nil
}

// drop forgets the oldest versions.
func (b *batch) drop(n *nameRecord, count int) {
	n.changed = true
	for _, v := range n.Versions[:count] {
		b.waste(v.At, v.Size)
	}
	n.Versions = append([]versionRecord(nil), n.Versions[count:]...)
}

// version reads a version. Damage makes one that adds and drops nothing: what it dropped keeps its leases until they end.
func (b *batch) version(v versionRecord) (headRecord, error) {
	if r, ok := b.taken[v.At]; ok {
		return r, nil
	}
	r, err := b.journal.readHead(v)
	if errors.Is(err, share.ErrCorrupt) {
		return headRecord{}, nil
	}
	return r, err
}

// releaseDropped ends the writer's leases on what a version dropped, unless a later version added it again or another name
// wants it.
func (b *batch) releaseDropped(name share.Name, v versionRecord) error {
	r, err := b.version(v)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, index := range splitIndexes(r.Drops) {
		w, err := b.wants(index)
		if err != nil {
			return err
		}
		if i := w.find(name); i >= 0 {
			if w.Names[i].Sequence >= v.Sequence {
				continue
			}
			w.remove(name)
		}
		if len(w.Names) > 0 || w.Many {
			continue
		}
		if err := b.release(index, r.Lease.Owner, now); err != nil {
			return err
		}
		b.ended = append(b.ended, released{r.Lease.Owner, index})
	}
	return nil
}

// release ends the lease of an owner on a file.
func (b *batch) release(index share.StorageIndex, owner string, now time.Time) error {
	f, err := b.file(index)
	if errors.Is(err, share.ErrCorrupt) {
		return nil // the index has told of its damage, and is computed again
	}
	if err != nil {
		return err
	}
	f.release(owner, now)
	return nil
}

// forget forgets a name with all its versions.
func (b *batch) forget(name share.Name, n *nameRecord) error {
	if _, err := b.log(kindForgotten, forgottenRecord{Name: name}); err != nil {
		return err
	}
	return b.dropName(name, n)
}

func (b *batch) dropName(name share.Name, n *nameRecord) error {
	for _, v := range n.Versions {
		r, err := b.version(v)
		if err != nil {
			return err
		}
		for _, index := range splitIndexes(r.Adds) {
			w, err := b.wants(index)
			if err != nil {
				return err
			}
			w.remove(name)
		}
	}
	b.drop(n, len(n.Versions))
	*n = nameRecord{changed: true}
	return nil
}
