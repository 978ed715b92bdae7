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
	"path"
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
	Name      string    // what people call it, empty where the lock does not tell
	Since     time.Time // since when; zero where the lock does not tell
	Refreshed time.Time // when it last said so, by its own clock
	// Ago is how long ago that was by the server's clock.
	Ago time.Duration
	// Alive says that the prefix was to be taken over, and that this was refused because the other node was heard of so lately.
	Alive bool
}

func (e *LockedError) Error() string { return fmt.Sprintf("%v: %s", share.ErrBusy, e.words()) }

// Holder names the node that has the prefix.
func (e *LockedError) Holder() string { return nodeText(cmp.Or(e.Owner, "somebody unknown"), e.Name) }

func (e *LockedError) words() string {
	who := e.Holder()
	if !e.Since.IsZero() {
		who += " since " + e.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("another node has this prefix of the bucket: %s, last heard of %s", who, heardText(e.Refreshed, e.Ago))
}

func nodeText(owner, name string) string {
	if name == "" {
		return fmt.Sprintf("%.80q", owner)
	}
	return fmt.Sprintf("%.64q (%.80s)", name, owner)
}

// heardText says when a node was heard of.
func heardText(at time.Time, ago time.Duration) string {
	text := fmt.Sprintf("%s ago", ago.Round(time.Second))
	switch {
	case ago >= 48*time.Hour:
		text = fmt.Sprintf("%d days ago", ago/(24*time.Hour))
	case ago >= time.Hour:
		text = fmt.Sprintf("%d hours ago", ago/time.Hour)
	}
	if at.IsZero() {
		return text
	}
	return at.UTC().Format(time.RFC3339) + " (" + text + ")"
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
	Name      string    `json:"name,omitempty"`
	Since     time.Time `json:"since,omitzero"` // when this owner took it
	Process   string    `json:"process"`        // random, another one each time
	Refreshed time.Time `json:"refreshed"`

	ago time.Duration // since the server was told so, by its clock
}

// A lock is a prefix that is ours.
type lock struct {
	bucket *bucket
	gate   gate // held while the lock is written
	text   lockText
	tag    string
	blind  bool // the server does not know conditions
	// lost says why a lock that somebody has deleted is not put again, if so.
	lost func(context.Context) error
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
		if err := s.keeps(""); err != nil {
			return "", err
		}
		if err := s.writeMarker(ctx); err != nil {
			return "", err
		}
		data, _, err = s.bucket.getAll(ctx, markerName, markerLimit)
	}
	if err != nil {
		return "", err
	}
	if id, err = s.readMarker(data); err == nil {
		err = s.keeps(id)
	}
	return id, err
}

// ErrForeign says that the object by which a prefix is known is another one than this program writes. It wraps share.ErrDenied.
var ErrForeign = fmt.Errorf("%w", share.ErrDenied)

func (s *Store) readMarker(data []byte) (id string, err error) {
	var m markerText
	if err := json.Unmarshal(data, &m); err != nil || m.Format != formatName {
		return "", fmt.Errorf("bucket %s: %w: the object %s%s is not of this program", s.config.URL(), ErrForeign, s.bucket.prefix, markerName)
	}
	if m.Version != formatOne {
		return "", fmt.Errorf("bucket %s: %w: its format is %d, this program knows %d", s.config.URL(), share.ErrVersion, m.Version, formatOne)
	}
	if m.ID == "" {
		return "", fmt.Errorf("bucket %s: %w: the object %s%s has no id", s.config.URL(), ErrForeign, s.bucket.prefix, markerName)
	}
	return m.ID, nil
}

// empty returns an error when the prefix, which has no marker, holds anything.
func (s *Store) empty(ctx context.Context) error {
	found, err := s.first(ctx)
	if err == nil && path.Base(found) == markerName {
		err = s.notBelow(ctx, path.Dir(found))
	}
	if err == nil && found != "" {
		err = fmt.Errorf("bucket %s: %w: the prefix holds something else, such as %.80q: choose an empty one", s.config.URL(), share.ErrDenied, found)
	}
	return err
}

// free returns an error when the prefix, which has no marker, cannot become that of a store.
func (s *Store) free(ctx context.Context) error {
	if err := s.noneAbove(ctx); err != nil {
		return err
	}
	return s.empty(ctx)
}

func (s *Store) writeMarker(ctx context.Context) error {
	if err := s.free(ctx); err != nil {
		return err
	}
	data := must(json.Marshal(markerText{formatName, formatOne, randomText(16)}))
	_, err := s.bucket.put(ctx, markerName, data, condition{absent: true})
	if errors.Is(err, errTaken) {
		return nil // another node was faster; the lock decides
	}
	if err != nil {
		return err
	}
	// Of two nodes that make prefixes at the same moment, one of which is below the other, at least one sees the other's marker now.
	if err = s.noneAbove(ctx); err == nil {
		err = s.noneBelow(ctx)
	}
	if _, nested := errors.AsType[*NestedError](err); nested {
		return errors.Join(err, s.bucket.remove(ctx, markerName))
	}
	return err
}

// first returns some key below the prefix that is in the way of a new store.
func (s *Store) first(ctx context.Context) (key string, err error) {
	err = s.bucket.do(ctx, "look into the prefix", 0, func(ctx context.Context) error {
		page, err := s.bucket.page(ctx, "", "", pageKeys)
		for _, o := range page {
			// A probe is left behind by who was killed in the middle of one; the other two are of who is taking the prefix at this moment.
			if !strings.HasPrefix(o.key, probePrefix) && o.key != markerName && o.key != lockName {
				key = o.key
				break
			}
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
	file := filepath.Join(s.config.Index, "owner")
	data, err := os.ReadFile(file)
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	made := randomText(16)
	return made, wholefile.Write(file, []byte(made+"\n"), 0o600)
}

// acquire takes the lock for a process: one that nobody has, one that this node had before, or any when it is told to. Before it does, it tells
// which process had it last, empty where none had.
func (s *Store) acquire(ctx context.Context, process string, before func(process string) error) error {
	owner, err := s.owner()
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	l := &lock{bucket: s.bucket, gate: newGate(), text: lockText{Owner: owner, Name: s.config.Name, Since: now, Process: process}, lost: s.Same}
	held, tag, err := s.bucket.getLock(ctx)
	c, last := condition{absent: true}, ""
	if err == nil {
		c, last = condition{tag: tag}, held.Process
		if held.Owner == owner && !held.Since.IsZero() {
			l.text.Since = held.Since
		}
		if err := s.yields(held, owner); err != nil {
			return err
		}
	} else if !errors.Is(err, errNoKey) {
		return err
	}
	if err := before(last); err != nil {
		return err
	}
	err = l.put(ctx, c)
	if errors.Is(err, errTaken) {
		// An attempt of ours may have arrived whose answer did not.
		if _, ours, failed := l.ours(ctx); failed == nil && ours {
			err = nil
		}
	}
	switch {
	case errors.Is(err, errTaken):
		return fmt.Errorf("bucket %s: %w", s.config.URL(), &LockedError{Name: "a node that started at the same moment", Refreshed: now})
	case errors.Is(err, share.ErrDenied), errors.Is(err, share.ErrReadOnly), errors.Is(err, share.ErrNoSpace):
		s.refuseWrites(readOnly(err))
		return nil
	case err != nil:
		return err
	}
	s.lock = l
	return s.probe(ctx)
}

// readLock reads a lock. One that cannot be read is somebody's.
func readLock(data []byte) (l lockText) {
	if err := json.Unmarshal(data, &l); err != nil || l.Owner == "" {
		return lockText{Owner: "somebody unknown"}
	}
	return l
}

// getLock returns the lock and its tag.
func (b *bucket) getLock(ctx context.Context) (held lockText, tag string, err error) {
	data, info, err := b.getWhole(ctx, lockName, markerLimit)
	if err != nil {
		return lockText{}, "", err
	}
	held = readLock(data)
	held.ago = time.Since(held.Refreshed)
	if now := b.meter.clock.Load(); now > 0 && !info.LastModified.IsZero() {
		held.ago = time.Unix(now, 0).Sub(info.LastModified)
	}
	held.ago = max(0, held.ago)
	return held, info.ETag, nil
}

func (l lockText) refusal() *LockedError {
	return &LockedError{Owner: l.Owner, Name: l.Name, Since: l.Since, Refreshed: l.Refreshed, Ago: l.ago}
}

// yields returns a *LockedError unless the prefix can become, or is, that of an owner.
func (s *Store) yields(held lockText, owner string) error {
	if held.Owner == owner || s.config.TakeOver && held.ago >= s.config.Silent {
		return nil
	}
	refusal := held.refusal()
	refusal.Alive = s.config.TakeOver
	return fmt.Errorf("bucket %s: %w", s.config.URL(), refusal)
}

// ErrNobody says that a prefix cannot be taken over, because no node has stored anything there.
var ErrNobody = fmt.Errorf("%w: no node has stored anything there, so that there is nothing to take over", share.ErrNotFound)

// Look finds out whether a store of this owner can be at the prefix, and changes nothing there: it fails where Open would, but for a bucket
// that may only be read, and with ErrNobody where there is nothing to take over.
func Look(ctx context.Context, c Config) error {
	s, err := unopened(ctx, c)
	if err != nil {
		return err
	}
	defer s.stop()
	held, err := s.holder(ctx)
	switch {
	case errors.Is(err, errNoMarker):
		return s.vacant(ctx)
	case errors.Is(err, errNoKey):
		return nil
	case err != nil:
		return err
	}
	return s.yields(held, c.Owner)
}

// vacant returns an error when the prefix, which has no marker, cannot become that of a store, or was to be taken over from one.
func (s *Store) vacant(ctx context.Context) error {
	if err := s.free(ctx); err != nil || !s.config.TakeOver {
		return err
	}
	return fmt.Errorf("bucket %s: %w", s.config.URL(), ErrNobody)
}

// Has reports whether this owner has the prefix: whether a store is there whose lock names it.
func Has(ctx context.Context, c Config) (bool, error) {
	s, err := unopened(ctx, c)
	if err != nil {
		return false, err
	}
	defer s.stop()
	held, err := s.holder(ctx)
	if errors.Is(err, errNoMarker) || errors.Is(err, errNoKey) {
		return false, nil
	}
	return err == nil && held.Owner == c.Owner, err
}

// errNoMarker says that no store is at a prefix.
var errNoMarker = errors.New("no store is there")

// holder returns the lock of the store at the prefix, errNoMarker where there is no store, and errNoKey where nobody has it.
func (s *Store) holder(ctx context.Context) (lockText, error) {
	data, _, err := s.bucket.getAll(ctx, markerName, markerLimit)
	if errors.Is(err, errNoKey) {
		return lockText{}, errNoMarker
	}
	if err == nil {
		_, err = s.readMarker(data)
	}
	if err != nil {
		return lockText{}, err
	}
	held, _, err := s.bucket.getLock(ctx)
	return held, err
}

// Claim makes the prefix this owner's, without opening the store: it fails where Open would, for a bucket that takes nothing, and with
// ErrNobody where there is nothing to take over. Open needs no TakeOver afterwards.
func Claim(ctx context.Context, c Config) error {
	s, err := unopened(ctx, c)
	if err != nil {
		return err
	}
	defer s.stop()
	if c.TakeOver {
		if _, err := s.holder(ctx); errors.Is(err, errNoMarker) {
			return s.vacant(ctx)
		}
	}
	if _, err := s.checkMarker(ctx); err != nil {
		return err
	}
	if err := s.acquire(ctx, randomText(8), func(string) error { return nil }); err != nil {
		return err
	}
	return s.refused()
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
		s.lock.blind = true
		s.log.Warn("the server does not know conditional writes: that another node has the same prefix is noticed late", "bucket", s.config.URL())
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

// ours returns the lock in the bucket, zero where there is none, and whether it is that of this process. An answer that was lost makes it
// newer than is known here.
func (l *lock) ours(ctx context.Context) (held lockText, ours bool, err error) {
	held, tag, err := l.bucket.getLock(ctx)
	if errors.Is(err, errNoKey) {
		return lockText{}, false, nil
	}
	if err != nil {
		return lockText{}, false, err
	}
	if held.Process != l.text.Process {
		return held, false, nil
	}
	l.tag = tag
	return held, true, nil
}

// refresh says that the node still has the prefix. It returns a *LockedError when another node has taken it.
func (l *lock) refresh(ctx context.Context) error {
	if err := l.gate.lock(ctx); err != nil {
		return err
	}
	defer l.gate.unlock()
	if l.blind {
		held, ours, err := l.ours(ctx)
		switch {
		case err != nil:
			return err
		case ours:
		case held.Owner != "":
			return held.refusal()
		default:
			if err := l.lost(ctx); err != nil {
				return err
			}
		}
	}
	err := l.put(ctx, condition{tag: l.tag})
	for deleted := false; errors.Is(err, errTaken) || errors.Is(err, errNoKey); deleted = true {
		held, ours, failed := l.ours(ctx)
		switch {
		case failed != nil || ours:
			return failed
		case held.Owner != "":
			return held.refusal()
		case deleted:
			return err
		}
		if failed := l.lost(ctx); failed != nil {
			return failed
		}
		err = l.put(ctx, condition{absent: true}) // somebody has deleted it
	}
	return err
}

// refresh refreshes the lock, and stops all writing when another node has it. A prefix that was emptied holds nothing of what the index
// says until it has come back.
func (s *Store) refresh(ctx context.Context) error {
	err := s.lock.refresh(ctx)
	if _, emptied := errors.AsType[emptiedError](err); emptied {
		if s.emptied.Swap(&err) == nil {
			s.log.Error("nothing that the bucket held is believed to be there", "bucket", s.config.URL(), "error", err)
		}
	} else if err == nil && s.emptied.Swap(nil) != nil {
		s.log.Warn("the bucket has come back", "bucket", s.config.URL())
	}
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
		err := s.refresh(s.life)
		if s.life.Err() != nil || s.refused() != nil {
			return
		}
		s.silent.Store(nil)
		if err != nil {
			s.silent.Store(&err)
			s.log.Warn("the lock in the bucket could not be refreshed", "bucket", s.config.URL(), "error", err)
		}
	}
}
