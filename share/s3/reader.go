package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"cairn/share"
	"cairn/share/encoding"
)

// Open opens one share for reading. It returns ErrNotFound when the share is not held. The bucket is asked when something is read.
func (s *Store) Open(ctx context.Context, index share.StorageIndex, n share.Number) (share.Reader, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	files, err := s.index.files(index)
	if err != nil {
		return nil, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	held, ok := files[0].share(n)
	if !ok {
		return nil, fmt.Errorf("share %d of %s: %w", n, index, share.ErrNotFound)
	}
	root, err := encoding.CheckRoot(index, files[0].Root)
	if err != nil {
		return nil, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	r := &reader{store: s, index: index, root: root, held: held, gate: newGate()}
	if held.Size > wholeMax {
		r.ahead = &ahead{store: s, size: held.Size, blocks: root.Layout().RowOffset(0), fetch: r.fetch}
	}
	return r, nil
}

// wholeMax is the largest share in bytes that is fetched in one piece at the first read.
const wholeMax = packMax

type reader struct {
	store  *Store
	index  share.StorageIndex
	root   encoding.Root
	held   shareRecord
	closed atomic.Bool
	ahead  *ahead // of a large share

	gate  gate
	whole []byte // a small share, once it was read; the gate guards it
}

func (r *reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	switch {
	case r.closed.Load():
		return 0, fmt.Errorf("read: %w", share.ErrClosed)
	case off < 0:
		return 0, fmt.Errorf("read at %d: %w", off, share.ErrDenied)
	}
	if err := r.store.ready(ctx); err != nil {
		return 0, err
	}
	want := p[:min(int64(len(p)), max(0, r.held.Size-off))]
	if err := r.fill(ctx, want, off); err != nil {
		r.store.doubt(ctx, r.index, r.held.Number, r.root.Layout().SegmentAt(off), err)
		return 0, fmt.Errorf("share %d of %s: %w", r.held.Number, r.index, err)
	}
	if len(want) < len(p) {
		return len(want), io.ErrUnexpectedEOF
	}
	return len(p), nil
}

func (r *reader) fill(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if r.ahead != nil {
		return r.ahead.readAt(ctx, p, off)
	}
	if err := r.gate.lock(ctx); err != nil {
		return err
	}
	defer r.gate.unlock()
	if r.whole == nil {
		whole, err := r.store.readWhole(ctx, r.index, r.held)
		if err != nil {
			return err
		}
		r.whole = whole
	}
	copy(p, r.whole[off:])
	return nil
}

func (r *reader) fetch(ctx context.Context, p []byte, off int64, arrived func(n int)) error {
	return r.store.read(ctx, r.index, r.held, p, off, arrived)
}

// read fills p from an offset of a share. A share that has moved to another object since is looked up again.
func (s *Store) read(ctx context.Context, index share.StorageIndex, held shareRecord, p []byte, off int64, arrived func(n int)) error {
	tell := func(n int) {
		p, off = p[n:], off+int64(n)
		if arrived != nil {
			arrived(n)
		}
	}
	for {
		err := s.bucket.getAsItComes(ctx, held.Key, p, held.Offset+off, tell)
		if !errors.Is(err, errNoKey) {
			return err
		}
		files, failed := s.index.files(index)
		if failed != nil {
			return failed
		}
		now, ok := files[0].share(held.Number)
		if !ok || now.Key == held.Key {
			return fmt.Errorf("%w: %w", share.ErrNotFound, err)
		}
		held = now
	}
}

// readWhole returns a small share. One whose checksum is wrong is fetched once more.
func (s *Store) readWhole(ctx context.Context, index share.StorageIndex, held shareRecord) ([]byte, error) {
	data := make([]byte, held.Size)
	for range 2 {
		if err := s.read(ctx, index, held, data, 0, nil); err != nil {
			return nil, err
		}
		if checksum(data) == held.Sum {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%w: the bucket gives other bytes than were stored", share.ErrCorrupt)
}

// Stale implements share.Staler.
func (r *reader) Stale() bool {
	files, err := r.store.index.files(r.index)
	if err != nil {
		return false
	}
	now, held := files[0].share(r.held.Number)
	return !held || now != r.held
}

func (r *reader) Size() int64 { return r.held.Size }

func (r *reader) Close() error {
	if !r.closed.Swap(true) && r.ahead != nil {
		r.ahead.close()
	}
	return nil
}
