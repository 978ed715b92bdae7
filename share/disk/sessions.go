package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/column"
)

// Limits of unfinished uploads.
const (
	// MaxSessions bounds the unfinished uploads of all owners, MaxOwnerSessions those of one. At its limit an owner's
	// oldest idle upload makes room for a new one.
	MaxSessions      = 8192
	MaxOwnerSessions = 1024
	// SessionAge is how long an unfinished upload is kept after it was last written.
	SessionAge = 7 * 24 * time.Hour
	// expireEvery is the shortest time between two searches for stale uploads.
	expireEvery = time.Hour
)

// sessions are the unfinished uploads. It is safe for concurrent use; a session's mutex may be held when its mutex
// is taken, never the other way round.
type sessions struct {
	mu      sync.Mutex
	byKey   map[string]*session
	owners  map[string]int
	expired time.Time // when stale ones were last searched for
}

func newSessions() *sessions {
	return &sessions{byKey: map[string]*session{}, owners: map[string]int{}, expired: time.Now()}
}

func (s *sessions) find(key string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key]
}

func (s *sessions) remove(old *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[old.key] != old {
		return
	}
	delete(s.byKey, old.key)
	owner := old.owner
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

// add enters a session unless one with its key is there, which it returns instead. It returns ErrBusy at the limits.
func (s *sessions) add(made *session) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.byKey[made.key]; found != nil {
		return found, nil
	}
	owner := made.owner
	if len(s.byKey) >= MaxSessions || s.owners[owner] >= MaxOwnerSessions {
		return nil, fmt.Errorf("%w: %d uploads are unfinished, %d of them yours", share.ErrBusy, len(s.byKey), s.owners[owner])
	}
	s.byKey[made.key] = made
	s.owners[owner]++
	return made, nil
}

// all returns the sessions for which keep is true. keep reads owner and id only.
func (s *sessions) all(keep func(*session) bool) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*session
	for _, session := range s.byKey {
		if keep(session) {
			found = append(found, session)
		}
	}
	return found
}

// forgetOldest forgets the owner's upload that nobody has written for the longest time, and reports whether there was one.
func (s *sessions) forgetOldest(owner string) bool {
	var oldest *session
	var touched time.Time
	for _, candidate := range s.all(func(x *session) bool { return x.owner == owner }) {
		if !candidate.mu.TryLock() {
			continue // in use
		}
		if candidate.writer == nil && !candidate.gone && (oldest == nil || candidate.touched.Before(touched)) {
			oldest, touched = candidate, candidate.touched
		}
		candidate.mu.Unlock()
	}
	if oldest == nil {
		return false
	}
	oldest.mu.Lock()
	defer oldest.mu.Unlock()
	if oldest.writer == nil && !oldest.gone {
		oldest.forget()
	}
	return true
}

// expire forgets uploads that nobody has written for SessionAge; it looks at most once an hour.
func (s *sessions) expire(now time.Time) {
	s.mu.Lock()
	due := now.Sub(s.expired) >= expireEvery
	if due {
		s.expired = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	for _, old := range s.all(func(*session) bool { return true }) {
		if !old.mu.TryLock() {
			continue
		}
		if old.writer == nil && !old.gone && now.Sub(old.touched) >= SessionAge {
			old.forget()
		}
		old.mu.Unlock()
	}
}

// Create begins or resumes the upload of one share. A second writer of the same upload takes over what is there: the
// first gets ErrBusy from then on.
func (s *Store) Create(ctx context.Context, upload share.Upload) (share.Writer, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	if err := column.CheckUpload(upload, time.Now()); err != nil {
		return nil, err
	}
	s.sessions.expire(time.Now())
	for {
		session, err := s.session(upload)
		if err != nil {
			return nil, err
		}
		session.mu.Lock()
		if session.gone {
			session.mu.Unlock()
			continue
		}
		w, err := session.take(upload)
		session.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return w, nil
	}
}

// session finds or makes the session of an upload.
func (s *Store) session(upload share.Upload) (*session, error) {
	key := sessionKey(upload.Lease.Owner, upload.ID, upload.Number)
	if found := s.sessions.find(key); found != nil {
		return found, nil
	}
	made := newSession(s, key, upload)
	found, err := s.sessions.add(made)
	if errors.Is(err, share.ErrBusy) && s.sessions.forgetOldest(upload.Lease.Owner) {
		found, err = s.sessions.add(made)
	}
	return found, err
}

// take gives the session to a new writer. Its caller holds the mutex.
func (s *session) take(upload share.Upload) (*writer, error) {
	fits := column.SameShape(s.upload, upload)
	if upload.Size >= 0 {
		if err := s.claim.grow(column.ShareSize(upload) + int64(footerMax)); err != nil {
			if s.writer == nil && s.column.Blocks() == 0 && !s.dirty {
				s.forget()
			}
			return nil, err
		}
	}
	s.upload = upload
	if !s.dirty {
		s.column = column.Resume(upload, s.blocks.size())
		fits = fits && s.column.Blocks()*s.rowSize() == s.rows.size()
	}
	if !fits {
		if err := s.reset(); err != nil {
			return nil, err
		}
		s.about = false
	}
	s.writer = &writer{session: s}
	s.claim.charge(max(s.announced(), s.claim.written, s.blocks.size()+s.rows.size()))
	return s.writer, nil
}

// loadSessions finds the unfinished uploads that an earlier process left, and clears away what is none.
func (s *Store) loadSessions() error {
	entries, err := os.ReadDir(s.uploads)
	if err != nil {
		return fmt.Errorf("unfinished uploads: %w", err)
	}
	for _, e := range entries {
		if key, ok := strings.CutSuffix(e.Name(), aboutSuffix); ok {
			if err := s.loadSession(key); err != nil {
				s.log.Info("an unfinished upload is dropped", "upload", key, "error", err)
			}
		}
	}
	for _, e := range entries {
		key, _, _ := strings.Cut(e.Name(), ".")
		if s.sessions.find(key) == nil {
			if err := removeAll(s.files, filepath.Join(s.uploads, e.Name())); err != nil {
				return fmt.Errorf("unfinished uploads: %w", fail(err))
			}
		}
	}
	return nil
}

func (s *Store) loadSession(key string) error {
	path := filepath.Join(s.uploads, key)
	data, err := os.ReadFile(path + aboutSuffix)
	if err != nil {
		return err
	}
	var r aboutRecord
	if err := unseal(data, &r); err != nil {
		return err
	}
	upload := share.Upload{
		ID: r.ID, Number: r.Number, Needed: r.Needed, Total: r.Total, BlockSize: r.BlockSize, Size: r.Size, Lease: r.Lease.lease(),
	}
	// The lease may have ended since; it does not matter before the commit.
	checked := upload
	checked.Lease.Expires = time.Now().Add(time.Hour)
	if err := column.CheckUpload(checked, time.Now()); err != nil {
		return err
	}
	if sessionKey(upload.Lease.Owner, upload.ID, upload.Number) != key {
		return fmt.Errorf("it belongs to another name: %w", share.ErrCorrupt)
	}
	session := newSession(s, key, upload)
	session.dirty, session.about = true, true
	var written int64
	for _, suffix := range []string{blocksSuffix, rowsSuffix} {
		info, err := os.Stat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("a file is missing")
		}
		if err != nil {
			return err
		}
		session.touched = info.ModTime()
		written += info.Size()
	}
	if time.Since(session.touched) >= SessionAge {
		return errors.New("it is stale")
	}
	if _, err := s.sessions.add(session); err != nil {
		return err
	}
	session.claim.wrote(written)
	session.claim.charge(written)
	return nil
}
