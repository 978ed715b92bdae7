package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"

	"cairn/share"
)

// Limits of how much of a segment is written anew in one go.
const (
	rewriteRecords = 512
	rewriteBytes   = 1 << 20
)

// segments writes those segments of the journal anew of which more than half is not needed any more.
func (c *collection) segments(ctx context.Context) error {
	var state stateRecord
	if _, err := c.index.get(stateKey, &state); err != nil {
		return err
	}
	all, err := c.journal.segments()
	if err != nil {
		return err
	}
	for _, segment := range all {
		// What is not older than the end of the index is still written, or read when the store is opened next.
		if segment >= state.At.Segment {
			break
		}
		info, err := os.Stat(c.journal.name(segment))
		if err != nil {
			return err
		}
		var waste wasteRecord
		if _, err := c.index.get(wasteKey(segment), &waste); err != nil && !errors.Is(err, share.ErrCorrupt) {
			return err
		}
		if 2*waste.Bytes < info.Size() {
			continue
		}
		if err := c.segment(ctx, segment, info.Size()); err != nil {
			return err
		}
	}
	return nil
}

// segment writes what is still needed of a segment to the journal's end, and removes it once that is stable.
func (c *collection) segment(ctx context.Context, segment uint32, size int64) error {
	w := &rewriting{collection: c, segment: segment}
	skipped, err := c.journal.scanSegment(segment, int64(len(journalMagic)), func(v visit) error { return w.visit(ctx, v) })
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		return err
	}
	if skipped > 0 {
		// The torn end of a segment, or damage. Damage to what is held is for the scrub to find and to tell.
		if used, err := c.uses(ctx, segment); err != nil || used {
			return err
		}
	}
	if err := c.journal.remove(segment); err != nil {
		return err
	}
	c.report.Segments++
	c.report.Freed += size - w.written
	return c.committer.do(ctx, func(b *batch) error {
		b.other = append(b.other, change{key: wasteKey(segment)})
		return nil
	})
}

// uses reports whether the index points into a segment.
func (c *collection) uses(ctx context.Context, segment uint32) (bool, error) {
	used := false
	err := c.pages(ctx, filePrefix, func(page []change) error {
		for _, r := range page {
			var f fileRecord
			if _, ok := indexOfKey(r.key); !ok || used {
				continue
			}
			used = unseal(r.data, &f) != nil || slices.ContainsFunc(f.Shares, func(s shareRecord) bool { return s.At.Segment == segment })
		}
		return nil
	})
	if err != nil || used {
		return used, err
	}
	err = c.pages(ctx, namePrefix, func(page []change) error {
		for _, r := range page {
			var n nameRecord
			if len(r.key) != 1+len(share.Name{}) || used {
				continue
			}
			used = unseal(r.data, &n) != nil || slices.ContainsFunc(n.Versions, func(v versionRecord) bool { return v.At.Segment == segment })
		}
		return nil
	})
	return used, err
}

// A rewriting gathers the records of a segment.
type rewriting struct {
	*collection
	segment uint32
	visits  []visit
	bytes   int
	written int64
}

func (w *rewriting) visit(ctx context.Context, v visit) error {
	v.payload = bytes.Clone(v.payload)
	w.visits, w.bytes = append(w.visits, v), w.bytes+frameHeader+len(v.payload)
	if len(w.visits) < rewriteRecords && w.bytes < rewriteBytes {
		return nil
	}
	return w.flush(ctx)
}

// flush writes the records that are still needed.
func (w *rewriting) flush(ctx context.Context) error {
	visits := w.visits
	if err := w.wait(ctx, w.bytes); err != nil {
		return err
	}
	w.visits, w.bytes = nil, 0
	if len(visits) == 0 {
		return nil
	}
	var written int64
	err := w.committer.do(ctx, func(b *batch) error {
		before := len(b.frames)
		for _, v := range visits {
			if err := w.rewrite(b, v); err != nil {
				return err
			}
		}
		written = int64(len(b.frames) - before)
		return nil
	})
	w.written += written
	return err
}

// rewrite logs one record anew if it is still needed.
func (w *rewriting) rewrite(b *batch, v visit) error {
	switch v.kind {
	case kindSmall, kindFile, kindRemoved:
		var r journalRecord
		if decodeFrame(v.payload, &r) != nil {
			return nil
		}
		return w.share(b, v, r)
	case kindHead:
		var r headRecord
		if decodeFrame(v.payload, &r) != nil {
			return nil
		}
		return w.version(b, v, r)
	case kindForgotten:
		var r forgottenRecord
		if decodeFrame(v.payload, &r) != nil {
			return nil
		}
		n, err := b.name(r.Name)
		if err != nil || len(n.Versions) > 0 || w.oldest() {
			return err
		}
	}
	_, err := b.logFrame(v.kind, v.payload)
	return err
}

// share logs the record of a share anew, with the longest of the leases that hold now.
func (w *rewriting) share(b *batch, v visit, r journalRecord) error {
	f, err := b.file(r.Index)
	if err != nil {
		return err
	}
	held, ok := f.share(r.Number)
	switch {
	case v.kind == kindRemoved:
		if ok || !w.covers(r) {
			return nil
		}
		_, err := b.log(v.kind, r)
		return err
	case !ok || v.kind == kindSmall && held.At != v.at || v.kind == kindFile && held.At != (position{}):
		return nil
	}
	r.Lease = f.longest()
	if r.Lease.Owner == "" && len(f.Leases) > 0 {
		r.Lease = f.Leases[0] // since when there is none
	}
	at, err := b.log(v.kind, r)
	if err != nil || v.kind == kindFile {
		return err
	}
	b.wasteShare(held)
	held.At = at
	f.put(held)
	return nil
}

// covers reports whether the record of a removed share may be all that keeps it from coming back when the index is
// computed again.
func (w *rewriting) covers(removed journalRecord) bool {
	switch removed.Size {
	case fileTombstone:
		return false // without its file it does not come back
	case 0:
		return !w.oldest() // of version 1 of the format, which did not note where the share was
	}
	segment := uint32(removed.Size)
	if segment == w.segment {
		return false
	}
	_, err := os.Stat(w.journal.name(segment))
	return err == nil
}

// oldest reports whether no segment is older than the one that is written anew.
func (w *rewriting) oldest() bool {
	all, err := w.journal.segments()
	return err == nil && len(all) > 0 && all[0] == w.segment
}

// version logs a version of a name anew.
func (w *rewriting) version(b *batch, v visit, r headRecord) error {
	n, err := b.name(r.Name)
	if err != nil {
		return err
	}
	i, found := n.find(r.Sequence)
	if !found || n.Versions[i].At != v.at {
		return nil
	}
	r.Group = 0 // its shares are stable
	at, err := b.log(kindHead, r)
	if err != nil {
		return err
	}
	b.waste(v.at, n.Versions[i].Size)
	n.Versions[i].At, n.Versions[i].Size = at, b.state.At.Offset-at.Offset
	n.changed = true
	return nil
}
