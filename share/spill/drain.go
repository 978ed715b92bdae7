package spill

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"cairn/share"
	"cairn/share/encoding"
)

// drainBurst is how many bytes a drain moves at full speed before the rate holds it back: more than the largest block with its row.
const drainBurst = 8 << 20

// drainSlack is how many bytes the near store keeps free for what comes anew.
const drainSlack = 64 << 20

// A Damaged share in the far store does not verify.
type Damaged struct {
	Index  share.StorageIndex
	Number share.Number
	// Dropped is true when the far store has found it damaged itself and does not hold it any more, so that a repair of its file can
	// store it anew. Otherwise it stays where it is, for another attempt.
	Dropped bool
	Err     error
}

// A DrainReport says what one pass of Drain did.
type DrainReport struct {
	Shares  int64     // that are in the near store now and not in the far one any more
	Bytes   int64     // of these
	Left    int64     // shares that stay in the far store, but for those of copies that are kept there
	Kept    int64     // shares of copies that are kept in the far store
	Passed  int64     // of those that are left, shares that were not to come near
	Full    bool      // the near store has no room for more
	Damaged []Damaged // shares that do not verify, the first of them
	Ended   int64     // of those that are left, shares on which no lease is left
	// Names are the names whose heads came to the near store, NamesLeft those whose heads stay in the far one.
	Names, NamesLeft int64
}

// maxDamaged bounds the shares that a report names.
const maxDamaged = 100

// A drain is one pass of Drain.
type drain struct {
	*Store
	limiter *rate.Limiter
	all     bool
	pass    func([]share.Lease) bool
	tell    func(DrainReport)
	report  DrainReport
}

// DrainOptions say how far and how fast a drain goes.
type DrainOptions struct {
	// Rate is how many bytes a second are moved; 0 sets no bound.
	Rate int64
	// All is set to fill the near store up to what it offers, and not only to its low mark.
	All bool
	// Pass, if set, says by the leases on a file whether its shares are not to come near.
	Pass func([]share.Lease) bool
	// Progress, if set, is called with what the pass has done so far, after each share that came back.
	Progress func(DrainReport)
}

// Drain brings shares back from the far store, as long as the near one has room below its low mark: each is stored in the near store,
// which verifies it block by block, read back and verified once more, given every lease that it has in the far store, and only then
// dropped there. It can be interrupted at any step: the next pass goes on, in the middle of a share where the near store
// keeps unfinished uploads. Then it brings back the heads of names, each name with its history. One pass at a time; a share or name that
// fails does not end it.
func (s *Store) Drain(ctx context.Context, o DrainOptions) (DrainReport, error) {
	s.draining.Lock()
	defer s.draining.Unlock()
	d := &drain{Store: s, limiter: rate.NewLimiter(rate.Inf, drainBurst), all: o.All, pass: o.Pass, tell: o.Progress}
	if o.Rate > 0 {
		d.limiter.SetLimit(rate.Limit(o.Rate))
	}
	var errs []error
	if err := s.Settle(ctx); err != nil {
		errs = append(errs, err)
	}
	err := each(ctx, s.far, func(index share.StorageIndex) error {
		err := d.file(ctx, index)
		if err != nil && ctx.Err() == nil && len(errs) < maxDamaged {
			errs = append(errs, fmt.Errorf("file %s: %w", index, err))
			return nil
		}
		return err
	})
	if err == nil {
		err = d.heads(ctx)
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		return d.report, fmt.Errorf("drain: %w", err)
	}
	return d.report, nil
}

// file brings back the shares of one file.
func (d *drain) file(ctx context.Context, index share.StorageIndex) error {
	held, err := d.far.Numbers(ctx, []share.StorageIndex{index})
	if err != nil || len(held[0].Numbers) == 0 {
		return err
	}
	leases, err := d.far.Leases(ctx, index)
	if err != nil {
		return notMissing(err)
	}
	if kept(leases, time.Now()) {
		d.report.Kept += int64(len(held[0].Numbers))
		return nil
	}
	if d.pass != nil && d.pass(leases) {
		d.report.Left += int64(len(held[0].Numbers))
		d.report.Passed += int64(len(held[0].Numbers))
		return nil
	}
	root, err := encoding.CheckRoot(index, held[0].Root)
	if err != nil {
		d.report.Left += int64(len(held[0].Numbers))
		d.damaged(index, held[0].Numbers[0], false, err)
		return nil
	}
	for _, n := range held[0].Numbers {
		err := d.share(ctx, index, n, root, held[0].Root)
		switch {
		case err == nil:
			continue
		case errors.Is(err, errPassed):
		case errors.Is(err, share.ErrCorrupt):
			dropped := d.dropped(ctx, index, n, err)
			d.damaged(index, n, dropped, err)
			if dropped {
				continue
			}
		case full(err):
			d.report.Full = true
		default:
			d.report.Left++
			return fmt.Errorf("share %d: %w", n, err)
		}
		d.report.Left++
	}
	return nil
}

func (d *drain) damaged(index share.StorageIndex, n share.Number, dropped bool, err error) {
	d.log.Warn("a share in the far store does not verify", "file", index, "share", n, "dropped", dropped, "error", err)
	if len(d.report.Damaged) < maxDamaged {
		d.report.Damaged = append(d.report.Damaged, Damaged{Index: index, Number: n, Dropped: dropped, Err: err})
	}
}

// dropped has the far store look at a share that does not verify, and reports whether it does not hold it any more.
func (d *drain) dropped(ctx context.Context, index share.StorageIndex, n share.Number, why error) bool {
	segment := share.NoSegment
	if corrupt, ok := errors.AsType[*share.CorruptShareError](why); ok {
		segment = corrupt.Segment
	}
	held, err := d.far.Recheck(ctx, index, n, segment)
	return err == nil && !held
}

// unfit returns the error for what was read of a share in the far store and is no good, or could not be read because it is cut or gone. Other
// errors it returns as they are.
func unfit(index share.StorageIndex, n share.Number, segment int64, err error) error {
	for _, damage := range []error{share.ErrCorrupt, share.ErrNotFound, io.ErrUnexpectedEOF} {
		if errors.Is(err, damage) {
			return &share.CorruptShareError{Index: index, Number: n, Segment: segment, Reason: err.Error()}
		}
	}
	return err
}

// share brings back one share, or returns why it stays.
func (d *drain) share(ctx context.Context, index share.StorageIndex, n share.Number, root encoding.Root, block []byte) error {
	near, err := d.near.Numbers(ctx, []share.StorageIndex{index})
	if err != nil {
		return err
	}
	size := root.Layout().RootOffset() + int64(len(block))
	here := slices.Contains(near[0].Numbers, n)
	if !here {
		if !d.fits(ctx, size) {
			return share.ErrNoSpace
		}
		lease, err := d.lease(ctx, index)
		if err != nil {
			return err
		}
		if err := d.copy(ctx, index, n, root, block, lease); err != nil {
			return err
		}
	}
	defer d.count(ctx, index, size)()
	// The leases are read after the near store has the share: from now on a renewal reaches it there.
	if err := d.unite(ctx, index); err != nil {
		return err
	}
	if err := d.verifyNear(ctx, index, n, block); err != nil {
		return d.spoiled(ctx, index, n, here, err)
	}
	if err := d.unite(ctx, index); err != nil {
		return err
	}
	if err := d.far.Drop(ctx, index, []share.Number{n}); err != nil {
		return err
	}
	d.report.Shares++
	d.report.Bytes += size
	if d.tell != nil {
		d.tell(d.report)
	}
	return nil
}

// spoiled is called when the copy in the near store cannot be verified. The one in the far store stays; one that was just written
// goes, so that it is written anew.
func (d *drain) spoiled(ctx context.Context, index share.StorageIndex, n share.Number, here bool, err error) error {
	err = fmt.Errorf("the copy in the near store: %v", err) // not that of the far store is corrupt
	if here {
		return err
	}
	return errors.Join(err, d.near.Drop(ctx, index, []share.Number{n}))
}

// fits reports whether the near store has room for a share below its low mark.
func (d *drain) fits(ctx context.Context, size int64) bool {
	if d.all {
		return d.room(ctx, 1) >= size
	}
	space, err := d.near.Space(ctx)
	slack := min(int64(drainSlack), space.Offered/10)
	return err == nil && space.Free-slack >= size && d.room(ctx, d.low) >= size
}

// lease returns the lease in the far store that runs longest, or errPassed when all have ended: the far store removes the file by itself.
func (d *drain) lease(ctx context.Context, index share.StorageIndex) (share.Lease, error) {
	leases, err := d.far.Leases(ctx, index)
	if err != nil {
		return share.Lease{}, err
	}
	var longest share.Lease
	for _, l := range leases {
		if l.Expires.After(longest.Expires) {
			longest = l
		}
	}
	if !longest.Expires.After(time.Now()) {
		d.report.Ended++
		return longest, errPassed
	}
	return longest, nil
}

// count takes what is in both stores off the usage of those that have a lease on it, until the function that it returns is called.
func (d *drain) count(ctx context.Context, index share.StorageIndex, size int64) (done func()) {
	leases, err := d.far.Leases(ctx, index)
	if err != nil {
		return func() {}
	}
	add := func(n int64) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, l := range leases {
			if d.moving[l.Owner] += n; d.moving[l.Owner] == 0 {
				delete(d.moving, l.Owner)
			}
		}
	}
	add(size)
	return func() { add(-size) }
}

// movingID is the id of the upload by which a share comes back: that of its file, so that a later pass goes on with it.
func movingID(index share.StorageIndex) share.UploadID {
	sum := sha256.Sum256(append([]byte("cairn spill: a share comes back\x00"), index[:]...))
	return share.UploadID(sum[:len(share.UploadID{})])
}

// copy stores a share in the near store. ErrCorrupt says that the one in the far store does not verify.
func (d *drain) copy(ctx context.Context, index share.StorageIndex, n share.Number, root encoding.Root, block []byte, lease share.Lease) error {
	r, err := d.far.Open(ctx, index, n)
	if err != nil {
		return err
	}
	defer r.Close()
	l := root.Layout()
	w, err := d.near.Create(ctx, share.Upload{
		ID: movingID(index), Number: n, Needed: l.Needed, Total: l.Total, BlockSize: l.BlockSize, Size: l.Size, Lease: lease,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	have, err := w.Have(ctx)
	if err != nil {
		return err
	}
	buf := make([]byte, l.RowLen()+l.BlockSize)
	for i := have; i < l.Segments(); i++ {
		row, data := buf[:l.RowLen()], buf[l.RowLen():][:l.BlockLen(i)]
		if err := d.limiter.WaitN(ctx, min(len(row)+len(data), drainBurst)); err != nil {
			return err
		}
		if _, err := r.ReadAt(ctx, data, l.BlockOffset(i)); err != nil {
			return unfit(index, n, i, err)
		}
		if _, err := r.ReadAt(ctx, row, l.RowOffset(i)); err != nil {
			return unfit(index, n, i, err)
		}
		if err := w.Append(ctx, encoding.Digests(row), data); err != nil {
			if errors.Is(err, share.ErrCorrupt) || full(err) {
				_ = w.Commit(ctx, nil) // the near store forgets what it has of it
			}
			return unfit(index, n, i, err)
		}
	}
	return unfit(index, n, share.NoSegment, w.Commit(ctx, block))
}
