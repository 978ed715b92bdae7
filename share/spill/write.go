package spill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

const (
	// streamRoom is how much room the near store has to have for a stream of unknown length.
	streamRoom = 64 << 20
	// replayBytes is how much of an upload is kept in memory, to begin anew in the far store when the near one turns out to be full.
	replayBytes = 1 << 20
)

// Create begins or resumes an upload where the share belongs, or where an interrupted upload of it is.
func (s *Store) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	need := int64(streamRoom)
	if upload.Size >= 0 && upload.BlockSize > 0 && upload.Needed > 0 {
		need = column.ShareSize(upload)
	}
	order := s.order(ctx, need)
	if begun := begun(ctx, upload, s.near, s.far); begun != nil {
		order = []Part{begun, s.other(begun)}
	} else if s.wasPushed(upload) {
		order = []Part{s.far, s.near}
	}
	var errs []error
	for _, part := range order {
		err := s.admits(ctx, part, max(0, upload.Size))
		if err == nil {
			var w share.Writer
			if w, err = part.Create(ctx, upload); err == nil {
				return &writer{store: s, upload: upload, part: part, inner: w, replayable: true}, nil
			}
		}
		if !elsewhere(ctx, err) {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, both(errs)
}

// both returns the error of two stores that failed.
func both(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return fmt.Errorf("%w; and in the other store: %w", errs[0], errs[1])
}

// begun returns the store in which an interrupted upload of the share is, nil for none.
func begun(ctx context.Context, u share.Upload, in ...Part) Part {
	for _, part := range in {
		progress, err := part.Uploads(ctx, u.Lease.Owner, u.ID)
		if err != nil {
			continue
		}
		for _, p := range progress {
			if p.Number == u.Number && p.Index.IsZero() {
				return part
			}
		}
	}
	return nil
}

func keyOf(u share.Upload) uploadKey { return uploadKey{u.Lease.Owner, u.ID, u.Number} }

// wasPushed reports whether the near store turned out to be too small for an upload.
func (s *Store) wasPushed(u share.Upload) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushed[keyOf(u)]
}

func (s *Store) push(u share.Upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pushed) >= maxPushed {
		clear(s.pushed)
	}
	s.pushed[keyOf(u)] = true
}

// A segment is what one Append brought.
type segment struct {
	digests []share.Digest
	block   []byte
}

// A writer streams a share into one of the stores. While it has brought little to the near store, it keeps a copy, and begins
// anew in the far store when the near one turns out to be full.
type writer struct {
	store  *Store
	upload share.Upload
	part   Part
	inner  share.Writer

	replayable bool
	kept       []segment
	bytes      int
}

// Have returns how many blocks an interrupted upload has left.
func (w *writer) Have(ctx context.Context) (int64, error) {
	n, err := w.inner.Have(ctx)
	if n != int64(len(w.kept)) {
		w.forget()
	}
	return n, err
}

func (w *writer) forget() { w.replayable, w.kept = false, nil }

// Append adds a segment.
func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	err := w.inner.Append(ctx, digests, block)
	if w.part == w.store.near && full(err) {
		if err = w.moveOn(ctx, err); err == nil {
			err = w.inner.Append(ctx, digests, block)
		}
	}
	if err == nil && w.part == w.store.near && w.replayable {
		w.keep(digests, block)
	}
	return err
}

func (w *writer) keep(digests []share.Digest, block []byte) {
	if w.bytes += len(block) + len(digests)*len(share.Digest{}); w.bytes > replayBytes {
		w.forget()
		return
	}
	w.kept = append(w.kept, segment{slices.Clone(digests), bytes.Clone(block)})
}

// moveOn brings what was appended to the far store, or returns the cause. The near store forgets the upload in any case, so
// that the next attempt goes far.
func (w *writer) moveOn(ctx context.Context, cause error) error {
	w.store.push(w.upload)
	_ = w.inner.Commit(ctx, nil) // a root that does not fit makes a store forget the upload
	_ = w.inner.Close()
	w.inner = closedWriter{cause}
	if !w.replayable {
		return cause
	}
	far, err := w.store.far.Create(ctx, w.upload)
	if err != nil {
		return fmt.Errorf("%w; and in the other store: %w", cause, err)
	}
	for _, s := range w.kept {
		if err := far.Append(ctx, s.digests, s.block); err != nil {
			return errors.Join(fmt.Errorf("%w; and in the other store: %w", cause, err), far.Close())
		}
	}
	w.forget()
	w.part, w.inner = w.store.far, far
	return nil
}

// A closedWriter is what is left of an upload for which there is no room.
type closedWriter struct{ err error }

func (w closedWriter) Have(context.Context) (int64, error)                  { return 0, w.err }
func (w closedWriter) Append(context.Context, []share.Digest, []byte) error { return w.err }
func (w closedWriter) Commit(context.Context, []byte) error                 { return w.err }
func (w closedWriter) Close() error                                         { return nil }

// Commit publishes the share.
func (w *writer) Commit(ctx context.Context, root []byte) error {
	err := w.inner.Commit(ctx, root)
	if w.part == w.store.near && full(err) {
		if err = w.moveOn(ctx, err); err == nil {
			err = w.inner.Commit(ctx, root)
		}
	}
	if err == nil {
		w.store.stored(ctx, w.part, []place{{share.IndexOf(root), w.upload.Number}})
	}
	return err
}

// Close releases the writer.
func (w *writer) Close() error { return w.inner.Close() }

// Uploads returns the progress of an upload in both stores.
func (s *Store) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	near, err := s.near.Uploads(ctx, owner, id)
	far, farErr := s.far.Uploads(ctx, owner, id)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && farErr != nil:
		return nil, err
	case err != nil:
		return far, nil
	}
	for _, p := range far {
		i := slices.IndexFunc(near, func(n share.Progress) bool { return n.Number == p.Number })
		switch {
		case i < 0:
			near = append(near, p)
		case near[i].Index.IsZero() && !p.Index.IsZero():
			near[i] = p
		}
	}
	slices.SortFunc(near, func(a, b share.Progress) int { return cmp.Compare(a.Number, b.Number) })
	return near, nil
}

// A place is a share of a file.
type place struct {
	index  share.StorageIndex
	number share.Number
}

// stored is called when shares were stored in one of the stores: a file that is in both has the leases of both, and a share that
// is in both leaves the far one.
func (s *Store) stored(ctx context.Context, part Part, shares []place) {
	var indexes []share.StorageIndex
	seen := map[share.StorageIndex]bool{}
	for _, p := range shares {
		if !seen[p.index] {
			seen[p.index] = true
			indexes = append(indexes, p.index)
		}
	}
	held, err := s.other(part).Numbers(ctx, indexes)
	if err != nil {
		s.log.Warn("one of two stores does not say what it holds", "error", err)
		return
	}
	for _, h := range held {
		if len(h.Numbers) == 0 {
			continue
		}
		if err := s.unite(ctx, h.Index); err != nil {
			s.log.Warn("the leases on a file are not the same in both stores", "file", h.Index, "error", err)
			continue
		}
		if err := s.dropTwice(ctx, h.Index); err != nil {
			s.log.Warn("a share stays in the far store although the near one has it", "file", h.Index, "error", err)
		}
	}
}

// dropTwice removes from the far store the shares of a file that are in both, and from the near store one that does not verify there.
func (s *Store) dropTwice(ctx context.Context, index share.StorageIndex) error {
	indexes := []share.StorageIndex{index}
	near, err := s.near.Numbers(ctx, indexes)
	if err != nil {
		return err
	}
	far, err := s.far.Numbers(ctx, indexes)
	if err != nil {
		return err
	}
	if stays, err := s.Kept(ctx, index); err != nil || stays {
		return err
	}
	for _, n := range far[0].Numbers {
		if !slices.Contains(near[0].Numbers, n) {
			continue
		}
		from := s.far
		if err := s.verifyNear(ctx, index, n, near[0].Root); errors.Is(err, share.ErrCorrupt) {
			from = s.near
		} else if err != nil {
			return err
		}
		if err := from.Drop(ctx, index, []share.Number{n}); err != nil {
			return err
		}
	}
	return nil
}

// verifyNear reads all of a share in the near store.
func (s *Store) verifyNear(ctx context.Context, index share.StorageIndex, n share.Number, root []byte) error {
	r, err := s.near.Open(ctx, index, n)
	if err != nil {
		return err
	}
	defer r.Close()
	return encoding.Verify(ctx, r, index, n, root)
}

// Put stores small shares: as many in the near store as it takes, the rest in the far one.
func (s *Store) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := column.CheckBatch(shares); err != nil {
		return nil, err
	}
	verdicts := slices.Repeat([]error{errPassed}, len(shares))
	var near, far []int
	room := s.room(ctx, s.high)
	for i, w := range shares {
		if room -= int64(len(w.Data)); room >= 0 {
			near = append(near, i)
		} else {
			far = append(far, i)
		}
	}
	for _, try := range []struct {
		part Part
		at   []int
	}{{s.near, near}, {s.far, far}} {
		if err := s.putIn(ctx, try.part, try.at, shares, verdicts, lease); err != nil {
			return nil, err
		}
		var again []int
		for _, i := range try.at {
			if elsewhere(ctx, verdicts[i]) {
				again = append(again, i)
			}
		}
		if err := s.putIn(ctx, s.other(try.part), again, shares, verdicts, lease); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// putIn stores some of the shares in a store. It fails when nobody can take them; a store that fails gives its error as the verdict
// on each.
func (s *Store) putIn(ctx context.Context, part Part, at []int, shares []share.WholeShare, verdicts []error, lease share.Lease) error {
	if len(at) == 0 {
		return nil
	}
	some := make([]share.WholeShare, len(at))
	var size int64
	for i, k := range at {
		some[i] = shares[k]
		size += int64(len(shares[k].Data))
	}
	var got []error
	err := s.admits(ctx, part, size)
	if err == nil {
		got, err = part.Put(ctx, some, lease)
	}
	if err != nil && !elsewhere(ctx, err) {
		return err
	}
	var taken []place
	for i, k := range at {
		verdict := err
		if err == nil {
			verdict = got[i]
		}
		if before := verdicts[k]; verdict != nil && !errors.Is(before, errPassed) {
			verdict = both([]error{before, verdict})
		}
		verdicts[k] = verdict
		if verdict == nil {
			taken = append(taken, place{shares[k].Index, shares[k].Number})
		}
	}
	if len(taken) > 0 {
		s.stored(ctx, part, taken)
	}
	return nil
}
