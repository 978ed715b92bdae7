package spill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// A Side is one of the two stores of a Store, for who decides what goes where: it tells of what is in its store, and puts there what it
// is given or refuses it. What is common to both stays so: leases, heads, and that a share which is in both leaves the far one.
// It is safe for concurrent use.
type Side struct {
	*Store
	part   Part
	copies bool // of shares that are to stay
}

var _ Part = (*Side)(nil)

// NearSide returns the near store as one place among others. It takes shares up to its mark.
func (s *Store) NearSide() *Side { return &Side{Store: s, part: s.near} }

// FarSide returns the far store as one place among others.
func (s *Store) FarSide() *Side { return &Side{Store: s, part: s.far} }

// CopySide returns the far store as the place for copies that stay: a share that is stored there neither comes back by Drain nor leaves
// because the near store has it too, as long as its owner renews the lease.
func (s *Store) CopySide() *Side { return &Side{Store: s, part: s.far, copies: true} }

// Numbers says which shares are in the store, of CopySide those of copies alone.
func (s *Side) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	held, err := s.part.Numbers(ctx, indexes)
	if err != nil || !s.copies {
		return held, err
	}
	for i, h := range held {
		if len(h.Numbers) == 0 {
			continue
		}
		stays, err := s.Kept(ctx, h.Index)
		if err != nil {
			return nil, err
		}
		if !stays {
			held[i] = share.Held{Index: h.Index}
		}
	}
	return held, nil
}

// Open opens the share that is in the store. One that comes back to the near store meanwhile is read there.
func (s *Side) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := s.part.Open(ctx, index, number)
	if s.part == s.near {
		return r, err
	}
	if errors.Is(err, share.ErrNotFound) {
		return s.near.Open(ctx, index, number)
	}
	if err != nil {
		return nil, err
	}
	return &farReader{store: s.Store, index: index, number: number, inner: r}, nil
}

// Recheck looks at what the store has of a share.
func (s *Side) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	return s.part.Recheck(ctx, index, number, segment)
}

// takes returns how many bytes the store is given at most. A far store without a limit decides that itself.
func (s *Side) takes(ctx context.Context) (int64, error) {
	if s.part == s.near {
		return s.room(ctx, s.high), nil
	}
	if s.limit == 0 {
		return math.MaxInt64, nil
	}
	space, err := s.farRoom(ctx)
	return space.Free, err
}

// Create begins or resumes an upload in the store.
func (s *Side) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := column.CheckUpload(upload, time.Now()); err != nil {
		return nil, err
	}
	lease := upload.Lease
	if s.copies {
		upload.Lease.Owner = keeperOf(lease.Owner)
	}
	if begun(ctx, upload, s.part) == nil { // one that was begun has its room
		room, err := s.takes(ctx)
		if err != nil {
			return nil, err
		}
		need := column.ShareSize(share.Upload{Needed: upload.Needed, Total: upload.Total, BlockSize: upload.BlockSize, Size: max(0, upload.Size)})
		if room < need {
			return nil, fmt.Errorf("%d bytes: %w up to the mark: there is room for %d", need, share.ErrNoSpace, room)
		}
	}
	w, err := s.part.Create(ctx, upload)
	if err != nil {
		return nil, err
	}
	return &sideWriter{Writer: &writer{store: s.Store, upload: upload, part: s.part, inner: w}, side: s, lease: lease}, nil
}

// A sideWriter gives a copy the lease of its owner beside the one that keeps it.
type sideWriter struct {
	share.Writer
	side  *Side
	lease share.Lease
}

// Commit publishes the share.
func (w *sideWriter) Commit(ctx context.Context, root []byte) error {
	err := w.Writer.Commit(ctx, root)
	if err == nil && w.side.copies {
		err = w.side.far.Renew(ctx, []share.StorageIndex{share.IndexOf(root)}, w.lease)
	}
	return err
}

// Uploads returns the progress of an upload in the store.
func (s *Side) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if s.copies {
		owner = keeperOf(owner)
	}
	return s.part.Uploads(ctx, owner, id)
}

// Put stores small shares in the store.
func (s *Side) Put(ctx context.Context, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	if err := column.CheckBatch(shares); err != nil {
		return nil, err
	}
	room, err := s.takes(ctx)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return nil, err
	}
	verdicts := slices.Repeat([]error{errPassed}, len(shares))
	var at []int
	for i, w := range shares {
		if room -= int64(len(w.Data)); room < 0 {
			verdicts[i] = fmt.Errorf("%w up to the mark", share.ErrNoSpace)
		} else {
			at = append(at, i)
		}
	}
	given := lease
	if s.copies {
		given.Owner = keeperOf(lease.Owner)
	}
	if err := s.putIn(ctx, s.part, at, shares, verdicts, given); err != nil || !s.copies {
		return verdicts, err
	}
	var stored []share.StorageIndex
	for i, w := range shares {
		if verdicts[i] == nil {
			stored = append(stored, w.Index)
		}
	}
	if len(stored) == 0 {
		return verdicts, nil
	}
	return verdicts, s.far.Renew(ctx, stored, lease)
}

// Fetch returns small shares that are in the store.
func (s *Side) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	return s.part.Fetch(ctx, indexes)
}

// Space says what the store offers, and how much it takes from here.
func (s *Side) Space(ctx context.Context) (share.Space, error) {
	if s.part == s.far {
		return s.farRoom(ctx)
	}
	space, err := s.near.Space(ctx)
	if err == nil {
		space.Free = s.room(ctx, s.high)
	}
	return space, err
}
