package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cairn/internal/wholefile"
	"cairn/share"
)

const (
	refreshEvery = time.Minute
	markerLimit  = 4 << 10
	formatName   = "cairn bucket"
	formatOne    = 1
)

// A LockedError says that another node has the prefix. It wraps share.ErrBusy.
type LockedError struct {
	Owner     string    // who has it
	Refreshed time.Time // when it last said so
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%v: another node has this prefix of the bucket: %.80q, last seen %s; choose another prefix, or take it over if that node is gone for good",
		share.ErrBusy, e.Owner, e.Refreshed.UTC().Format(time.RFC3339))
}

// Unwrap returns share.ErrBusy.
func (e *LockedError) Unwrap() error { return share.ErrBusy }

// A markerText is the object that says what a prefix holds, and in which format.
type markerText struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// ID is random: an index belongs to the prefix whose marker has it.
	ID string `json:"id"`
}

// A lockText is the object that says who has a prefix.
type lockText struct {
	Owner     string    `json:"owner"`
	Process   string    `json:"process"` // random, another one each time
	Refreshed time.Time `json:"refreshed"`
}

// A lock is a prefix that is ours.
type lock struct {
	bucket *bucket
	gate   gate // held while the lock is written
	text   lockText
	tag    string
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// checkMarker reads the marker, or writes it where the prefix is empty, and returns the prefix's id.
func (s *Store) checkMarker(ctx context.Context) (id string, err error) {
	data, _, err := s.bucket.getAll(ctx, markerName, markerLimit)
	if errors.Is(err, errNoKey) {
		if err := s.writeMarker(ctx); err != nil {
			return "", err
		}
		data, _, err = s.bucket.getAll(ctx, markerName, markerLimit)
	}
	if err != nil {
		return "", err
	}
	var m markerText
	if err := json.Unmarshal(data, &m); err != nil || m.Format != formatName {
		return "", fmt.Errorf("bucket %s: %w: the object %s%s is not of this program: choose another prefix", s.config.URL(), share.ErrDenied, s.bucket.prefix, markerName)
	}
	if m.Version != formatOne {
		return "", fmt.Errorf("bucket %s: %w: its format is %d, this program knows %d", s.config.URL(), share.ErrVersion, m.Version, formatOne)
	}
	return m.ID, nil
}

func (s *Store) writeMarker(ctx context.Context) error {
	found, err := s.first(ctx)
	if err != nil {
		return err
	}
	if found != "" {
		return fmt.Errorf("bucket %s: %w: the prefix holds something else, such as %.80q: choose an empty one", s.config.URL(), share.ErrDenied, found)
	}
	data := must(json.Marshal(markerText{formatName, formatOne, randomText(16)}))
	_, err = s.bucket.put(ctx, markerName, data, condition{absent: true})
	if errors.Is(err, errTaken) {
		return nil // another node was faster; the lock decides
	}
	return err
}

// first returns some key below the prefix.
func (s *Store) first(ctx context.Context) (key string, err error) {
	err = s.bucket.do(ctx, "look into the prefix", 0, func(ctx context.Context) error {
		page, err := s.bucket.page(ctx, "", "", 1)
		if len(page) > 0 {
			key = page[0].key
		}
		return err
	})
	return key, err
}

// owner returns the name of this node in the lock.
func (s *Store) owner() (string, error) {
	if s.config.Owner != "" {
		return s.config.Owner, nil
	}
	path := filepath.Join(s.config.Index, "owner")
	data, err := os.ReadFile(path)
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	made := randomText(16)
	return made, wholefile.Write(path, []byte(made+"\n"), 0o600)
}

// acquire takes the lock: one that nobody has, one that this node had before, or any when it is told to.
func (s *Store) acquire(ctx context.Context) error {
	owner, err := s.owner()
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	l := &lock{bucket: s.bucket, gate: newGate(), text: lockText{Owner: owner, Process: randomText(8)}}
	data, tag, err := s.bucket.getAll(ctx, lockName, markerLimit)
	c := condition{absent: true}
	if err == nil {
		c = condition{tag: tag}
		var held lockText
		if err := json.Unmarshal(data, &held); err != nil {
			held.Owner = "somebody unknown"
		}
		if held.Owner != owner && !s.config.TakeOver {
			return fmt.Errorf("bucket %s: %w", s.config.URL(), &LockedError{Owner: cmp.Or(held.Owner, "somebody unknown"), Refreshed: held.Refreshed})
		}
	} else if !errors.Is(err, errNoKey) {
		return err
	}
	err = l.put(ctx, c)
	if errors.Is(err, errTaken) {
		// An attempt of ours may have arrived whose answer did not.
		if ours, failed := l.ours(ctx); failed == nil && ours {
			err = nil
		}
	}
	switch {
	case errors.Is(err, errTaken):
		return fmt.Errorf("bucket %s: %w", s.config.URL(), &LockedError{Owner: "a node that started at the same moment", Refreshed: time.Now()})
	case errors.Is(err, share.ErrDenied), errors.Is(err, share.ErrReadOnly), errors.Is(err, share.ErrNoSpace):
		s.refuseWrites(readOnly(err))
		return nil
	case err != nil:
		return err
	}
	s.lock = l
	return s.probe(ctx)
}

// readOnly returns why a bucket that can be read takes nothing.
func readOnly(err error) error {
	if errors.Is(err, share.ErrNoSpace) {
		return err
	}
	return fmt.Errorf("%w: %w", share.ErrReadOnly, err)
}

// probe finds out whether the server knows conditions: it must refuse to put a lock where there is one.
func (s *Store) probe(ctx context.Context) error {
	err := s.lock.put(ctx, condition{absent: true})
	if errors.Is(err, errTaken) {
		return nil
	}
	if err == nil {
		s.log.Warn("the server does not know conditional writes: two nodes with the same settings would not be told apart", "bucket", s.config.URL())
	}
	return err
}

func (l *lock) put(ctx context.Context, c condition) error {
	l.text.Refreshed = time.Now().UTC().Truncate(time.Second)
	tag, err := l.bucket.put(ctx, lockName, must(json.Marshal(l.text)), c)
	if err == nil {
		l.tag = tag
	}
	return err
}

// ours reports whether the lock in the bucket is that of this process. An answer that was lost makes it newer than is known here.
func (l *lock) ours(ctx context.Context) (bool, error) {
	data, tag, err := l.bucket.getAll(ctx, lockName, markerLimit)
	if errors.Is(err, errNoKey) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var held lockText
	if err := json.Unmarshal(data, &held); err != nil || held.Process != l.text.Process {
		return false, nil //nolint:nilerr // what is no lock of ours is another's
	}
	l.tag = tag
	return true, nil
}

// refresh says that the node still has the prefix. It returns a *LockedError when another node has taken it.
func (l *lock) refresh(ctx context.Context) error {
	if err := l.gate.lock(ctx); err != nil {
		return err
	}
	defer l.gate.unlock()
	err := l.put(ctx, condition{tag: l.tag})
	if !errors.Is(err, errTaken) && !errors.Is(err, errNoKey) {
		return err
	}
	ours, err := l.ours(ctx)
	if err != nil || ours {
		return err
	}
	return &LockedError{Owner: "another process", Refreshed: time.Now()}
}

// refresh refreshes the lock, and stops all writing when another node has it.
func (s *Store) refresh(ctx context.Context) error {
	err := s.lock.refresh(ctx)
	if _, lost := errors.AsType[*LockedError](err); lost {
		s.refuseWrites(fmt.Errorf("%w: %w", share.ErrReadOnly, err))
		s.log.Error("another node has taken over the bucket: nothing is written any more", "bucket", s.config.URL())
	}
	return err
}

// refreshLock refreshes the lock until the store is closed or has lost it.
func (s *Store) refreshLock() {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	for s.refused() == nil {
		select {
		case <-s.life.Done():
			return
		case <-ticker.C:
		}
		if err := s.refresh(s.life); err != nil && s.life.Err() == nil && s.refused() == nil {
			s.log.Warn("the lock in the bucket could not be refreshed", "bucket", s.config.URL(), "error", err)
		}
	}
}
