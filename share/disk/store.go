package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// ready says why nothing can be asked now, if so.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed() {
		return fmt.Errorf("store: %w", share.ErrClosed)
	}
	return nil
}

// Numbers says which shares are held.
func (s *Store) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	held := make([]share.Held, len(indexes))
	for i, index := range indexes {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
		f, err := s.index.file(index)
		if errors.Is(err, share.ErrCorrupt) {
			f = fileRecord{} // the index has told of its damage; the other answers are good
		} else if err != nil {
			return nil, fmt.Errorf("shares of %s: %w", index, err)
		}
		held[i] = share.Held{Index: index, Numbers: f.numbers(), Root: f.Root}
	}
	return held, s.ready(ctx)
}

// Renew extends the owner's lease on what is held under the indexes; it never shortens one.
func (s *Store) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	if err := column.CheckLease(lease, time.Now()); err != nil {
		return err
	}
	// Many indexes are many requests, so that one caller does not hold up the others.
	var missing error
	for part := range slices.Chunk(indexes, 256) {
		err := s.committer.do(ctx, func(b *batch) error {
			m, err := b.renew(part, recordLease(lease))
			if missing == nil {
				missing = m
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("renew: %w", err)
		}
	}
	return missing
}

// renew returns the first index that is not held as missing.
func (b *batch) renew(indexes []share.StorageIndex, lease leaseRecord) (missing, err error) {
	for _, index := range indexes {
		f, err := b.file(index)
		if err != nil {
			return nil, err
		}
		if len(f.Shares) == 0 {
			if missing == nil {
				missing = fmt.Errorf("renew %s: %w", index, share.ErrNotFound)
			}
			continue
		}
		if err := f.lease(lease); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Leases returns the leases on a storage index. It returns ErrNotFound when no share of it is held.
func (s *Store) Leases(ctx context.Context, index share.StorageIndex) ([]share.Lease, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	f, err := s.index.file(index)
	if err != nil {
		return nil, fmt.Errorf("leases of %s: %w", index, err)
	}
	if len(f.Shares) == 0 {
		return nil, fmt.Errorf("leases of %s: %w", index, share.ErrNotFound)
	}
	leases := make([]share.Lease, len(f.leases()))
	for i, l := range f.leases() {
		leases[i] = l.lease()
	}
	return leases, nil
}

// Space says what the store offers.
func (s *Store) Space(ctx context.Context) (share.Space, error) {
	if err := s.ready(ctx); err != nil {
		return share.Space{}, err
	}
	space, err := s.space.space()
	if s.refuse != nil {
		space.Free = 0
	}
	return space, err
}

// Uploads returns the progress of each share of an upload, finished ones included. What an interrupted upload left is
// checked before it is counted.
func (s *Store) Uploads(ctx context.Context, owner string, id share.UploadID) ([]share.Progress, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	progress, err := s.committed(owner, id)
	if err != nil {
		return nil, fmt.Errorf("uploads: %w", err)
	}
	for _, session := range s.sessions.all(func(x *session) bool { return x.owner == owner && x.id == id }) {
		p, ok, err := session.progress(ctx)
		if err != nil {
			return nil, fmt.Errorf("uploads: %w", err)
		}
		if !ok {
			continue // committed or forgotten since
		}
		progress = slices.DeleteFunc(progress, func(done share.Progress) bool { return done.Number == p.Number })
		progress = append(progress, p)
	}
	slices.SortFunc(progress, func(a, b share.Progress) int { return int(a.Number) - int(b.Number) })
	return progress, nil
}

// committed returns the shares of an upload that were committed and are still held.
func (s *Store) committed(owner string, id share.UploadID) ([]share.Progress, error) {
	var u uploadRecord
	if _, err := s.index.get(uploadKey(uploadName(owner, id)), &u); err != nil {
		return nil, err
	}
	var progress []share.Progress
	for _, c := range u.Committed {
		f, err := s.index.file(c.Index)
		if err != nil {
			return nil, err
		}
		if _, held := f.share(c.Number); !held {
			continue
		}
		root, err := encoding.CheckRoot(c.Index, f.Root)
		if err != nil {
			return nil, err
		}
		progress = append(progress, share.Progress{Number: c.Number, Blocks: root.Layout().Segments(), Index: c.Index})
	}
	return progress, nil
}

// progress returns what is stable of the session, or false when it is gone.
func (s *session) progress(ctx context.Context) (share.Progress, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.store.closed() {
		return share.Progress{}, false, nil
	}
	if s.writer == nil && !s.known {
		if err := s.resume(ctx); err != nil {
			return share.Progress{}, false, err
		}
		s.blocks.close()
		s.rows.close()
		s.dirty = true // as rest leaves it
	}
	return share.Progress{Number: s.upload.Number, Blocks: s.durable}, true, nil
}

// Each calls fn with every storage index of which shares are held, in order, until fn returns an error. Shares that
// come or go meanwhile may be missed or told.
func (s *Store) Each(ctx context.Context, fn func(share.StorageIndex) error) error {
	const page = 1024
	var last share.StorageIndex
	for {
		if err := s.ready(ctx); err != nil {
			return err
		}
		found, err := s.index.after(last, page)
		if err != nil {
			return err
		}
		for _, index := range found {
			if err := fn(index); err != nil {
				return err
			}
			last = index
		}
		if len(found) < page {
			return nil
		}
	}
}

// Stats count what a Store holds.
type Stats struct {
	Files      int64 `json:"files"`      // storage indexes with at least one share
	Shares     int64 `json:"shares"`     // shares held
	Bytes      int64 `json:"bytes"`      // of these shares
	Unfinished int64 `json:"unfinished"` // uploads that are not committed
	Names      int64 `json:"names"`      // mutable names with at least one version
	HeadBytes  int64 `json:"head_bytes"` // of their versions
}

// Stats returns the counts as of the last change that is stable.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	if err := s.ready(ctx); err != nil {
		return Stats{}, err
	}
	var state stateRecord
	if _, err := s.index.get(stateKey, &state); err != nil {
		return Stats{}, err
	}
	var heads headsRecord
	if _, err := s.index.get(headsKey, &heads); err != nil {
		return Stats{}, err
	}
	unfinished := len(s.sessions.all(func(*session) bool { return true }))
	return Stats{
		Files: state.Files, Shares: state.Shares, Bytes: state.Bytes, Unfinished: int64(unfinished), Names: heads.Names, HeadBytes: heads.Bytes,
	}, nil
}
