package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
)

// A session is an unfinished upload of one share. The writer that came last owns it. The store's mutex guards it.
type session struct {
	key    sessionKey
	opened int64 // the store's clock
	upload share.Upload
	writer *writer // nil while nobody writes
	column *column.Column
	blocks []byte
	rows   []byte
}

func (s *session) size() int64 { return int64(len(s.blocks) + len(s.rows)) }

// reset empties the session.
func (s *session) reset() { s.column, s.blocks, s.rows = column.New(s.upload), nil, nil }

type writer struct {
	store   *Store
	session *session // nil once the writer is done
	resumed bool     // Have was called, or a segment appended
}

// Create begins or resumes an upload. A second writer of the same upload takes over: the first gets ErrBusy from
// then on.
func (s *Store) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := column.CheckUpload(upload, time.Now()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session, err := s.session(upload)
	if err != nil {
		return nil, err
	}
	old := session.upload
	session.upload = upload
	session.column = column.Resume(upload, int64(len(session.blocks)))
	if session.column.Blocks() == 0 || !column.SameShape(upload, old) {
		s.used -= session.size()
		session.reset()
	}
	session.writer = &writer{store: s, session: session}
	return session.writer, nil
}

// session finds or makes the session of an upload.
func (s *Store) session(upload share.Upload) (*session, error) {
	key := sessionKey{upload.Lease.Owner, upload.ID, upload.Number}
	if found := s.sessions[key]; found != nil {
		return found, nil
	}
	if upload.Size >= 0 && column.ShareSize(upload) > s.offer-s.used {
		return nil, fmt.Errorf("a share of %d bytes: %w", column.ShareSize(upload), share.ErrNoSpace)
	}
	if len(s.sessions) >= MaxSessions && !s.evict() {
		return nil, fmt.Errorf("%w: %d uploads are open", share.ErrBusy, len(s.sessions))
	}
	s.clock++
	made := &session{key: key, opened: s.clock, upload: upload}
	made.reset()
	s.sessions[key] = made
	return made, nil
}

// evict forgets the oldest session that nobody writes, and reports whether there was one.
func (s *Store) evict() bool {
	var oldest *session
	for _, candidate := range s.sessions {
		if candidate.writer == nil && (oldest == nil || candidate.opened < oldest.opened) {
			oldest = candidate
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(oldest)
	return true
}

// forget drops a session and what it holds.
func (s *Store) forget(session *session) {
	delete(s.sessions, session.key)
	s.used -= session.size()
}

// take counts bytes as used, or returns ErrNoSpace.
func (s *Store) take(n int64) error {
	if n > s.offer-s.used {
		return fmt.Errorf("%d bytes: %w", n, share.ErrNoSpace)
	}
	s.used += n
	return nil
}

// begin says why the writer may not go on, if so. Its caller holds the store's mutex.
func (w *writer) begin(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.session == nil:
		return fmt.Errorf("upload: %w", share.ErrClosed)
	case w.session.writer != w:
		return fmt.Errorf("upload: %w: another writer of the same upload has taken over", share.ErrBusy)
	}
	return nil
}

// Have returns how many blocks the upload has.
func (w *writer) Have(ctx context.Context) (int64, error) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if err := w.begin(ctx); err != nil {
		return 0, err
	}
	w.resumed = true
	return w.session.column.Blocks(), nil
}

// Append adds a segment.
func (w *writer) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.session.column.Check(digests, block); err != nil {
		return err
	}
	return w.keep(digests, block)
}

// AppendAll adds several segments.
func (w *writer) AppendAll(ctx context.Context, rows []share.Digest, blocks []byte) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if err := w.start(ctx); err != nil {
		return err
	}
	good, refused := w.session.column.CheckAll(rows, blocks)
	for range good {
		n, size := w.session.upload.Total, min(len(blocks), w.session.upload.BlockSize)
		if err := w.keep(rows[:n], blocks[:size]); err != nil {
			return err
		}
		rows, blocks = rows[n:], blocks[size:]
	}
	return refused
}

// start is begin before a segment: unless the writer goes on with what there is, that is forgotten.
func (w *writer) start(ctx context.Context) error {
	if err := w.begin(ctx); err != nil || w.resumed {
		return err
	}
	w.resumed = true
	w.store.used -= w.session.size()
	w.session.reset()
	return nil
}

// keep adds a segment that was checked.
func (w *writer) keep(digests []share.Digest, block []byte) error {
	s := w.session
	if err := w.store.take(int64(len(block) + len(digests)*encoding.DigestSize)); err != nil {
		return err
	}
	s.blocks = append(s.blocks, block...)
	s.rows = encoding.AppendDigests(s.rows, digests)
	s.column.Add(block)
	return nil
}

// Commit publishes the share.
func (w *writer) Commit(ctx context.Context, root []byte) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if err := w.begin(ctx); err != nil {
		return err
	}
	s := w.session
	data, err := s.assemble(root)
	if err != nil {
		w.store.forget(s)
		w.session = nil
		return err
	}
	if err := w.store.take(int64(len(data)) - s.size()); err != nil {
		return err
	}
	w.store.publish(s, data, bytes.Clone(root))
	w.session = nil
	return nil
}

// assemble returns the share as the flat byte string of docs/formats.md.
func (s *session) assemble(root []byte) ([]byte, error) {
	parsed, err := s.column.CheckRoot(root)
	if err != nil {
		return nil, err
	}
	tail, err := column.Tail(s.rows, parsed, root)
	if err != nil {
		return nil, err
	}
	return slices.Concat(s.blocks, tail), nil
}

// publish turns a session into a share that is held.
func (s *Store) publish(session *session, data, root []byte) {
	index, number := share.IndexOf(root), session.key.number
	s.hold(index, number, data, root, session.upload.Lease)
	s.done[session.key] = share.Progress{Number: number, Blocks: session.column.Blocks(), Index: index}
	delete(s.sessions, session.key)
}

// hold keeps a share whose bytes are counted as used.
func (s *Store) hold(index share.StorageIndex, number share.Number, data, root []byte, lease share.Lease) {
	f := s.files[index]
	if f == nil {
		f = &file{root: root, shares: map[share.Number][]byte{}, leases: map[string]time.Time{}}
		s.files[index] = f
	}
	s.used -= int64(len(f.shares[number]))
	f.shares[number] = data
	f.lease(lease)
}

// Close releases the writer; without a Commit the upload stays for later.
func (w *writer) Close() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.session != nil && w.session.writer == w {
		w.session.writer = nil
	}
	w.session = nil
	return nil
}
