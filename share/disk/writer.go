package disk

import (
	"context"
	"errors"
	"fmt"

	"cairn/share"
	"cairn/share/encoding"
)

// A writer is one attempt at an upload; the session outlives it.
type writer struct {
	session *session // nil once the writer is done
	resumed bool     // Have was called, or a segment appended
}

var errTakenOver = fmt.Errorf("upload: %w: another writer of the same upload has taken over", share.ErrBusy)

// lock locks the session, or says why the writer may not go on.
func (w *writer) lock(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := w.session
	if s == nil {
		return nil, fmt.Errorf("upload: %w", share.ErrClosed)
	}
	s.mu.Lock()
	var err error
	switch {
	case s.store.closed():
		err = fmt.Errorf("upload: store %w", share.ErrClosed)
	case s.gone || s.writer != w:
		err = errTakenOver
	case w.resumed && s.dirty:
		err = fmt.Errorf("upload: %w: an earlier segment could not be kept", share.ErrClosed)
	}
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return s, nil
}

// Have returns how many blocks the upload has on stable storage, after checking them.
func (w *writer) Have(ctx context.Context) (int64, error) {
	s, err := w.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if err := s.resume(ctx); err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	w.resumed = true
	return s.column.Blocks(), nil
}

// Append adds a segment. After an error other than that of a refused segment the writer is of no more use; a new
// one resumes with what is good.
func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	s, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := s.column.Check(digests, block); err != nil {
		return err
	}
	return s.append(digests, block)
}

// AppendAll is Append for several segments.
func (w *writer) AppendAll(ctx context.Context, rows []share.Digest, blocks []byte) error {
	s, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	good, refused := s.column.CheckAll(rows, blocks)
	if good > 0 {
		if err := s.append(rows[:good*s.upload.Total], blocks[:min(len(blocks), good*s.upload.BlockSize)]); err != nil {
			return err
		}
	}
	return refused
}

// begin locks the session for an Append, emptied unless the writer goes on with what it has.
func (w *writer) begin(ctx context.Context) (*session, error) {
	s, err := w.lock(ctx)
	if err != nil || w.resumed {
		return s, err
	}
	if err := s.reset(); err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("upload: %w", err)
	}
	w.resumed = true
	return s, nil
}

// Commit publishes the share (see publish.go for the order of things).
func (w *writer) Commit(ctx context.Context, root []byte) error {
	s, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	if !w.resumed {
		if err := s.resume(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		w.resumed = true
	}
	err = s.publish(ctx, root)
	var lost *lostError
	if err == nil || errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrVersion) || errors.As(err, &lost) {
		w.session = nil
		forgetErr := s.forget()
		if err == nil && forgetErr != nil {
			s.store.log.Warn("a finished upload could not be cleared away", "upload", s.key, "error", forgetErr)
		}
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Close releases the writer and makes what was appended stable.
func (w *writer) Close() error {
	s := w.session
	if s == nil {
		return nil
	}
	w.session = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.writer != w {
		return nil
	}
	if err := s.rest(); err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	return nil
}

// A lostError is an error after which the session's files are of no use: a sync that failed, or a rename.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// rowsInMemory returns the rows without their checksums, if they never went to a file.
func (s *session) rowsInMemory() ([]byte, bool) {
	if s.rows.file != nil {
		return nil, false
	}
	size := int(s.rowSize())
	rows := make([]byte, 0, len(s.rows.buf))
	for i := 0; i < len(s.rows.buf); i += size {
		rows = append(rows, s.rows.buf[i:i+size-checksumSize]...)
	}
	return rows, true
}

// moveRows copies the rows from their file to their place behind the blocks.
func (s *session) moveRows(l encoding.Layout) error {
	if err := s.rows.flush(); err != nil {
		return err
	}
	const chunk = 256 << 10
	row := s.rowSize()
	perChunk := max(1, chunk/row)
	in, out := make([]byte, perChunk*row), make([]byte, 0, perChunk*row)
	for first := int64(0); first < l.Segments(); first += perChunk {
		in := in[:min(perChunk, l.Segments()-first)*row]
		if _, err := s.rows.file.ReadAt(in, first*row); err != nil {
			return fmt.Errorf("read digests: %w", err)
		}
		out = out[:0]
		for i := int64(0); i < int64(len(in)); i += row {
			if _, ok := openRow(in[i : i+row]); !ok {
				return &lostError{fmt.Errorf("digests of segment %d: %w", first+i/row, share.ErrCorrupt)}
			}
			out = append(out, in[i:i+row-checksumSize]...)
		}
		if _, err := s.blocks.file.WriteAt(out, l.RowOffset(first)); err != nil {
			return fail(err)
		}
	}
	return nil
}
