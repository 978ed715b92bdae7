package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// A writer is one attempt at an upload; the session outlives it.
type writer struct {
	session *session // nil once the writer is done
	resumed bool     // Have was called, or a segment appended
	room    int64    // bytes that it may have in memory
}

// Create begins or resumes an upload. A second writer of the same upload takes over: the first gets ErrBusy from then on.
func (s *Store) Create(ctx context.Context, u share.Upload) (share.Writer, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	if err := column.CheckUpload(u, time.Now()); err != nil {
		return nil, err
	}
	x, err := s.sessions.get(u)
	if err != nil {
		return nil, err
	}
	if err := x.gate.lock(ctx); err != nil {
		return nil, err
	}
	defer x.gate.unlock()
	if x.gone { // committed between the two locks
		return nil, fmt.Errorf("upload: %w: it has just ended", share.ErrBusy)
	}
	old := x.upload
	x.upload = u
	w := &writer{session: x, room: int64(2 * x.partSize())}
	if u.Size >= 0 {
		w.room = min(w.room, column.ShareSize(u))
	}
	if err := s.sessions.reserve(w.room); err != nil {
		return nil, err
	}
	x.release()
	x.writer = w
	err = x.charge()
	if err == nil && (!column.SameShape(u, old) || x.bytes() == 0) {
		err = x.reset(ctx)
	}
	if err == nil {
		x.column = column.Resume(u, x.bytes())
		return w, nil
	}
	x.release()
	if x.bytes() == 0 {
		err = errors.Join(err, s.sessions.forget(ctx, x))
	}
	return nil, err
}

// release takes the session from its writer.
func (s *session) release() {
	if s.writer != nil {
		s.store.sessions.free(s.writer.room)
		s.writer = nil
	}
}

// lock locks the session, or says why the writer may not go on.
func (w *writer) lock(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := w.session
	if s == nil {
		return nil, fmt.Errorf("upload: %w", share.ErrClosed)
	}
	if err := s.gate.lock(ctx); err != nil {
		return nil, err
	}
	err := s.store.writable(ctx)
	if err == nil && (s.gone || s.writer != w) {
		err = fmt.Errorf("upload: %w: another writer of the same upload has taken over", share.ErrBusy)
	}
	if err != nil {
		s.gate.unlock()
		return nil, err
	}
	return s, nil
}

// Have returns how many blocks the upload has.
func (w *writer) Have(ctx context.Context) (int64, error) {
	s, err := w.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer s.gate.unlock()
	if err := s.wake(ctx); err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	w.resumed = true
	return s.column.Blocks(), nil
}

// Append adds a segment.
func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	s, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer s.gate.unlock()
	if !w.resumed {
		if err := s.reset(ctx); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		w.resumed = true
	}
	if err := s.column.Check(digests, block); err != nil {
		return err
	}
	if len(s.tail) >= s.partSize() {
		if err := s.send(ctx); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
	}
	if err := s.rows.append(digests); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	s.tail = append(s.tail, block...)
	s.column.Add(block)
	return s.charge()
}

// Commit publishes the share.
func (w *writer) Commit(ctx context.Context, root []byte) error {
	s, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer s.gate.unlock()
	if !w.resumed {
		if err := s.wake(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		w.resumed = true
	}
	parsed, err := s.column.CheckRoot(root)
	if err == nil {
		err = s.publish(ctx, parsed, root)
	}
	if err == nil || errors.Is(err, column.ErrRoot) || errors.Is(err, errShape(err)) {
		s.release()
		w.session = nil
		// The parts of a share that was published are gone by themselves.
		if err == nil {
			s.id = ""
		}
		if failed := s.store.sessions.forget(context.WithoutCancel(ctx), s); failed != nil {
			s.store.log.Warn("a finished upload could not be cleared away", "upload", s.dir, "error", failed)
		}
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// errShape returns the error itself when it says that the root is wrong, and not that the bucket is.
func errShape(err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return nil
	}
	if errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrVersion) {
		return err
	}
	return nil
}

// Close releases the writer and keeps what was appended for later.
func (w *writer) Close() error {
	s := w.session
	if s == nil {
		return nil
	}
	w.session = nil
	ctx, cancel := context.WithTimeout(context.Background(), s.store.config.closeWithin)
	defer cancel()
	if err := s.gate.lock(ctx); err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	defer s.gate.unlock()
	if s.gone || s.writer != w || s.store.ended.Load() {
		return nil
	}
	s.release()
	if s.bytes() == 0 {
		return s.store.sessions.forget(ctx, s)
	}
	if err := s.rest(ctx); err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	return nil
}

// settle gives back what the upload took. The lock of the totals is held.
func (s *session) settle() {
	s.store.space.add(s.key.owner, -s.charged)
	s.charged = 0
}

// publish puts the share into the bucket and then into the index.
func (s *session) publish(ctx context.Context, root encoding.Root, block []byte) error {
	if err := s.land(ctx); err != nil {
		return err
	}
	l, index := root.Layout(), root.StorageIndex()
	m := member{
		Index: index, Number: s.key.number, Size: l.RootOffset() + int64(len(block)), Root: len(block),
		Upload: nameUpload(s.key.owner, s.key.id), Lease: recordLease(s.upload.Lease),
	}
	var tail []byte
	if s.rows.file == nil {
		var err error
		if tail, err = column.Tail(s.rows.mem, root, block); err != nil {
			return err
		}
	} else if err := s.buildIndex(root); err != nil {
		return err
	}
	held, err := s.store.lease(m)
	if err != nil {
		return err
	}
	switch {
	case held:
		return s.store.index.update(func(*change) error { return nil }, s.settle)
	case s.rows.file == nil && m.Size <= s.store.config.pack:
		data := append(s.tail[:len(s.tail):len(s.tail)], tail...)
		return s.store.packer.do(ctx, []item{{index, m.Number, data, m.Root, m.Upload, m.Lease}}, s.settle)
	case s.rows.file == nil:
		return s.putWhole(ctx, m, tail)
	}
	return s.putParts(ctx, m, l, block)
}

// lease gives the lease of a member to a share that is held already, and reports whether it is.
func (s *Store) lease(m member) (held bool, err error) {
	files, err := s.index.files(m.Index)
	if err != nil {
		return false, err
	}
	if _, held = files[0].share(m.Number); !held {
		return false, nil
	}
	err = s.index.update(func(c *change) error {
		f, err := c.file(m.Index)
		if err != nil {
			return err
		}
		if _, held = f.share(m.Number); !held {
			return nil
		}
		return c.hold(m, "", f.Root)
	}, nil)
	return held, err
}

// putWhole stores the share as one object with one request.
func (s *session) putWhole(ctx context.Context, m member, tail []byte) error {
	data := append(s.tail[:len(s.tail):len(s.tail)], tail...)
	m.Sum = checksum(data)
	root := data[len(data)-m.Root:]
	data = append(data, directory([]member{m})...)
	key := s.store.keys.next(largePrefix)
	if _, err := s.store.bucket.put(ctx, key, data, condition{}); err != nil {
		return err
	}
	return s.hold(m, key, int64(len(data)), root)
}

func (s *session) hold(m member, key string, size int64, root []byte) error {
	return s.store.index.update(func(c *change) error {
		return c.holdAll(key, size, []member{m}, func(int) []byte { return root })
	}, s.settle)
}

// indexFile is the file of digests as encoding.BuildIndex wants it: at the offset that the digests have in the share.
type indexFile struct {
	rows rows
	base int64
}

func (f indexFile) ReadAt(p []byte, off int64) (int, error) {
	return f.rows.file.ReadAt(p, off-f.base)
}

func (f indexFile) WriteAt(p []byte, off int64) (int, error) {
	return f.rows.file.WriteAt(p, off-f.base)
}

// buildIndex writes the levels of the index behind the digests in their file.
func (s *session) buildIndex(root encoding.Root) error {
	l := root.Layout()
	top, err := encoding.BuildIndex(indexFile{s.rows, l.RowOffset(0)}, l)
	if err != nil {
		return err
	}
	if top != root.Index {
		return column.ErrRoot
	}
	return nil
}

// putParts stores what is behind the parts that are in the bucket already, and makes them one object.
func (s *session) putParts(ctx context.Context, m member, l encoding.Layout, block []byte) error {
	end := directory([]member{m})
	size := m.Size + int64(len(end))
	rest := io.MultiReader(bytes.NewReader(s.tail), io.NewSectionReader(s.rows.file, 0, l.RootOffset()-l.RowOffset(0)),
		bytes.NewReader(block), bytes.NewReader(end))
	parts := s.parts[:len(s.parts):len(s.parts)]
	left := size - s.sent
	for left > 0 {
		data := make([]byte, min(left, int64(s.partSize())))
		if _, err := io.ReadFull(rest, data); err != nil {
			return err
		}
		p, err := s.store.bucket.putPart(ctx, s.object, s.id, len(parts)+1, data)
		if err != nil {
			return err
		}
		parts, left = append(parts, p), left-int64(len(data))
	}
	if err := s.store.bucket.complete(ctx, s.object, s.id, parts); err != nil {
		return err
	}
	return s.hold(m, s.object, size, block)
}
