package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"cairn/share"
)

// readVersions reads all versions of all names. Those that the disk has damaged are not held any more: the one before is the
// newest then, which other servers and the next writer find out.
func (p *scrub) readVersions(ctx context.Context) error {
	var after []byte
	for {
		page, err := p.index.page(namePrefix, after, scrubPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			after = r.key[1:]
			var n nameRecord
			if len(r.key) != 1+len(share.Name{}) || unseal(r.data, &n) != nil {
				continue
			}
			if err := p.versionsOf(ctx, share.Name(r.key[1:]), n); err != nil {
				return err
			}
		}
	}
}

func (p *scrub) versionsOf(ctx context.Context, name share.Name, n nameRecord) error {
	bad := false
	for _, v := range n.Versions {
		if err := p.ready(ctx); err != nil {
			return err
		}
		if err := p.limiter.WaitN(ctx, int(min(v.Size, scrubBurst))); err != nil {
			return err
		}
		p.read.Add(v.Size)
		if r, err := p.journal.readHead(v); err != nil || !v.is(name, r) {
			bad = true // or it was written elsewhere meanwhile
		}
	}
	if !bad {
		return nil
	}
	lost := 0
	err := p.committer.do(ctx, func(b *batch) error {
		n, err := b.name(name)
		if err == nil {
			lost, err = b.mend(name, n)
		}
		return err
	})
	if lost > 0 && err == nil {
		p.report.Versions += int64(lost)
		p.log.Error("versions of a name are damaged in the journal and not held any more", "name", name, "versions", lost)
	}
	return err
}

// is reports whether a record that was read is the version.
func (v versionRecord) is(name share.Name, r headRecord) bool {
	return r.Name == name && r.Sequence == v.Sequence
}

// mend forgets those versions of a name that cannot be read, and returns how many.
func (b *batch) mend(name share.Name, n *nameRecord) (int, error) {
	var newest headRecord
	var left []versionRecord
	for _, v := range n.Versions {
		r, ok := b.taken[v.At]
		if !ok {
			var err error
			r, err = b.journal.readHead(v)
			if err != nil && !errors.Is(err, share.ErrCorrupt) {
				return 0, err
			}
		}
		if v.is(name, r) {
			newest, left = r, append(left, v)
		} else {
			b.waste(v.At, v.Size)
		}
	}
	lost := len(n.Versions) - len(left)
	if lost == 0 {
		return 0, nil
	}
	n.changed, n.Versions = true, slices.Clone(left)
	n.Newest, n.Root = sha256.Sum256(newest.Record), newest.Root
	if len(left) == 0 {
		*n = nameRecord{changed: true}
	}
	return lost, nil
}

// follows reports whether an update replaces the newest version. A newest version that the disk has damaged does not count,
// since nobody can be told of it.
func (b *batch) follows(n *nameRecord, u headUpdate) (bool, error) {
	if n.Newest == u.Replaces && u.head.Sequence > n.newest() {
		return true, nil
	}
	lost, err := b.mend(u.Name, n)
	return err == nil && lost > 0 && bytes.Equal(n.Newest[:], u.Replaces[:]) && u.head.Sequence > n.newest(), err
}
