package disk

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"cairn/share"
	"cairn/share/encoding"
)

// Open opens one share for reading. It returns ErrNotFound when the share is not held, ErrCorrupt when what the
// disk has of it cannot be right.
func (s *Store) Open(ctx context.Context, index share.StorageIndex, n share.Number) (share.Reader, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var r *reader
	err := s.whileMoving(func() error {
		f, err := s.index.file(index)
		if err != nil {
			return err
		}
		held, ok := f.share(n)
		if !ok {
			return share.ErrNotFound
		}
		r, err = s.reader(f, held, index)
		return err
	})
	if err != nil {
		s.doubt(ctx, index, n, share.NoSegment, err)
		return nil, fmt.Errorf("share %d of %s: %w", n, index, err)
	}
	r.doubt = func(ctx context.Context, off int64, err error) {
		f, failed := s.index.file(index)
		if root, bad := encoding.CheckRoot(index, f.Root); failed == nil && bad == nil {
			s.doubt(ctx, index, n, root.Layout().SegmentAt(off), err)
		}
	}
	return r, nil
}

// doubt is called when a share could not be read: one that is damaged is not held any longer, so that it can be stored again.
func (s *Store) doubt(ctx context.Context, index share.StorageIndex, n share.Number, segment int64, why error) {
	if !isDamage(why) || s.refuse != nil {
		return
	}
	if _, err := s.Recheck(ctx, index, n, segment); err != nil && s.ready(ctx) == nil {
		s.log.Warn("a share that cannot be read cannot be examined either", "index", index, "number", n, "reason", why, "error", err)
	}
}

// reader opens what a record points at. A share whose data is cut is ErrCorrupt. The error is
// fs.ErrNotExist when the data is gone: it is damage if the record still says that it is there.
func (s *Store) reader(f fileRecord, held shareRecord, index share.StorageIndex) (*reader, error) {
	if held.At != (position{}) {
		r, err := s.journal.read(held.At, held.Size)
		if err != nil {
			return nil, err
		}
		data := append(r.Data, f.Root...)
		if r.Index != index || r.Number != held.Number || int64(len(data)) != held.Size {
			return nil, fmt.Errorf("%w: the journal has another share in its place", share.ErrCorrupt)
		}
		return &reader{store: s, size: held.Size, at: flatReader(data)}, nil
	}
	_, name := s.names(index, held.Number)
	h, err := s.handles.open(name)
	if err != nil {
		return nil, err
	}
	info, err := h.file.Stat()
	if err == nil && info.Size() < held.Size {
		err = fmt.Errorf("%w: its file has %d bytes, want %d and more", share.ErrCorrupt, info.Size(), held.Size)
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return &reader{store: s, size: held.Size, at: h.file, handle: h}, nil
}

type reader struct {
	store  *Store
	size   int64
	at     io.ReaderAt
	handle *handle                                         // nil for a share in memory
	doubt  func(ctx context.Context, off int64, why error) // nil for nobody
	closed atomic.Bool
}

// Stale implements share.Staler.
func (r *reader) Stale() bool { return r.handle != nil && r.handle.stale() }

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
	want := min(int64(len(p)), max(0, r.size-off))
	n, err := r.at.ReadAt(p[:want], off)
	switch {
	case int64(n) < want:
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF // the file was cut under us
		} else {
			err = fmt.Errorf("read: %w", err)
		}
		if r.doubt != nil {
			r.doubt(ctx, off+int64(n), err)
		}
		return n, err
	case n < len(p):
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	if !r.closed.Swap(true) && r.handle != nil {
		r.handle.release()
	}
	return nil
}

// flatReader reads a share that is in memory.
type flatReader []byte

func (f flatReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f)) {
		return 0, io.EOF
	}
	return copy(p, f[off:]), nil
}
