// Package disk keeps shares in a directory: share data in flat files, the smallest in a journal, an index beside them.
//
// A share is acknowledged only once it would survive a crash, and appears whole or not at all; docs/storage.md
// follows one through every file operation. The journal and the share files explain themselves: an index that is
// damaged or lost is computed again from them.
package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"cairn/share"
)

// DefaultReserve is the part of the disk in bytes that is left to others where nothing else is said.
const DefaultReserve = 1 << 30

// DefaultGrace is how long a share stays after its last lease has ended where nothing else is said.
const DefaultGrace = 14 * 24 * time.Hour

// Options say how a directory is used.
type Options struct {
	// Offer is how many bytes of shares the owner lends; 0 means whatever the disk has besides the reserve.
	Offer int64
	// Reserve is how many bytes of the disk stay free; 0 means DefaultReserve. It is never less than the 80 MiB without
	// which the index cannot be kept safely.
	Reserve int64
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
	// OnQuarantine is called for each share that did not verify and was moved aside; nil for nobody.
	OnQuarantine func(Quarantined)
	// Grace is how long a share stays after its last lease has ended; 0 means DefaultGrace.
	Grace time.Duration
	// RebuildIndex computes the index again even where it looks good.
	RebuildIndex bool

	files    files // nil for the machine's; tests fail it
	memTable int64 // 0 for memTableBytes; tests save memory
	segment  int64 // 0 for segmentBytes; tests fill one quickly
	inline   int64 // 0 for InlineMax; tests have files of small shares
}

// A Store keeps shares in a directory. It implements share.Store, share.Batcher, share.HeadStore, share.Resumer,
// share.Spacer, share.Accounter and share.Mover, and is safe for concurrent use. One process at a time can have a directory open.
type Store struct {
	dir        string
	uploads    string
	shares     string
	quarantine string
	files      files
	log        *slog.Logger
	report     func(Quarantined)
	memTable   int64
	segment    int64
	inline     int64
	grace      time.Duration
	refuse     error // why nothing can be written: ErrReadOnly or ErrNoSpace; nil otherwise

	lock      *flock.Flock
	handles   *handles
	journal   *journal
	index     *index
	space     *space
	sessions  *sessions
	committer *committer
	ended     atomic.Bool
	damaged   atomic.Bool // the index is, and this was told
	running   sync.WaitGroup

	dirsMu sync.Mutex
	dirs   [256]bool // which directories below shares are known to be there

	placing [256]sync.Mutex // by first byte of the storage index: held while a share file comes or goes and the index follows

	collecting sync.Mutex // held while shares are collected
	clock      clock

	elsewhere atomic.Pointer[func(share.StorageIndex) bool] // nil when there is no other store
}

var (
	_ share.Store     = (*Store)(nil)
	_ share.Resumer   = (*Store)(nil)
	_ share.Spacer    = (*Store)(nil)
	_ share.Accounter = (*Store)(nil)
	_ share.Batcher   = (*Store)(nil)
	_ share.HeadStore = (*Store)(nil)
	_ share.Mover     = (*Store)(nil)

	_ share.ReleaseTeller = (*Store)(nil)
	_ share.Rechecker     = (*Store)(nil)
	_ share.NameKeeper    = (*Store)(nil)
	_ share.Staler        = (*reader)(nil)
)

// Open opens or makes the store in a directory. A directory that cannot be written, or a disk too full for the index,
// gives a store that serves what it has and refuses the rest with ErrReadOnly or ErrNoSpace. A damaged index is moved
// aside and computed again. Open returns ErrBusy when another process has the directory, and ErrVersion for
// one that a later version of this program wrote.
func Open(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	s := &Store{
		dir: dir, uploads: filepath.Join(dir, "uploads"), shares: filepath.Join(dir, "shares"), quarantine: filepath.Join(dir, "quarantine"),
		files: o.files, log: o.Logger, report: o.OnQuarantine, memTable: cmp.Or(o.memTable, memTableBytes), sessions: newSessions(),
		segment: cmp.Or(o.segment, segmentBytes), inline: cmp.Or(o.inline, InlineMax), grace: cmp.Or(o.Grace, DefaultGrace),
	}
	if s.files == nil {
		s.files = systemFiles{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.report == nil {
		s.report = func(Quarantined) {}
	}
	s.handles = newHandles(s.files)
	reserve := max(indexHeadroom, cmp.Or(o.Reserve, DefaultReserve))
	s.space = &space{files: s.files, dir: dir, offer: o.Offer, reserve: reserve, owners: map[string]*ownerSpace{}}
	if err := s.open(o.RebuildIndex); err != nil {
		err = errors.Join(err, s.release())
		return nil, fmt.Errorf("storage %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open(rebuild bool) error {
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.acquire(); err != nil {
		return err
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	if s.refuse == nil {
		s.refuse = s.space.index(0)
	}
	journal, err := openJournal(s.files, filepath.Join(s.dir, "journal"), s.segment, s.handles)
	if err != nil {
		return err
	}
	s.journal = journal
	state, err := s.openIndex(rebuild)
	if err != nil {
		return err
	}
	// A number is never used twice, also when its segment is gone.
	s.journal.last = max(s.journal.last, state.At.Segment)
	s.committer = newCommitter(s.journal, s.index, s.space, state)
	if _, err := s.index.get(headsKey, &s.committer.heads); err != nil {
		return err
	}
	s.space.settle(s.committer.used(), nil, nil)
	if err := s.openClock(); err != nil {
		return err
	}
	if s.refuse != nil {
		s.log.Warn("the storage serves what it has and takes nothing", "directory", s.dir, "reason", s.refuse)
		close(s.committer.stopped)
		return nil
	}
	if err := s.loadSessions(); err != nil {
		close(s.committer.stopped)
		return err
	}
	s.running.Go(s.committer.run)
	return nil
}

// prepare makes the directories, or finds that it may not.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"journal", "shares", "uploads", "quarantine"} {
		err := mkdir(s.files, s.dir, filepath.Join(s.dir, name))
		if errors.Is(err, share.ErrReadOnly) {
			return fmt.Errorf("%w: make the directory writable once, so that it can be set up", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Version 1 had no versions of names in its journal, and records of at most 16 KiB.
const (
	formatText = "cairn storage 2\n"
	formatOne  = "cairn storage 1\n"
)

// checkFormat writes the file that names the format, or reads it. A directory of version 1 becomes one of version 2.
func (s *Store) checkFormat() error {
	name := filepath.Join(s.dir, "format")
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if s.refuse != nil {
			return s.refuse
		}
		if err := writeFile(s.files, name, []byte(formatText)); err != nil {
			return err
		}
		return fail(s.files.SyncDir(s.dir))
	case err != nil:
		return err
	case string(data) == formatText || string(data) == formatOne && s.refuse != nil:
		return nil
	case string(data) == formatOne || strings.HasPrefix(formatText, string(data)) && s.refuse == nil:
		// Or a process was interrupted while it wrote this.
		return writeFile(s.files, name, []byte(formatText))
	}
	return fmt.Errorf("%w: its format is %.40q, this program knows %q: use the program that wrote it", share.ErrVersion, data, formatText)
}

// acquire makes sure that no other process has the directory open.
func (s *Store) acquire() error {
	name := filepath.Join(s.dir, "lock")
	s.lock = flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR))
	locked, err := s.lock.TryLock()
	if err != nil && isReadOnly(err) {
		s.refuse = fail(err)
		s.lock = flock.New(name, flock.SetFlag(os.O_RDONLY))
		locked, err = s.lock.TryRLock()
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: make the directory writable once, so that it can be set up", s.refuse)
		}
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if !locked {
		return fmt.Errorf("%w: another process uses this directory: stop it, or choose another directory for this node", share.ErrBusy)
	}
	return nil
}

func (s *Store) closed() bool { return s.ended.Load() }

// writable says why nothing can be written now, if so.
func (s *Store) writable(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.closed():
		return fmt.Errorf("store: %w", share.ErrClosed)
	}
	return s.refuse
}

// Close keeps unfinished uploads for later, waits for what is being committed, and closes the store. Writers and
// readers that are still open get ErrClosed.
func (s *Store) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	var errs []error
	for _, session := range s.sessions.all(func(*session) bool { return true }) {
		session.mu.Lock()
		if !session.gone && session.writer != nil {
			errs = append(errs, session.rest())
		}
		session.mu.Unlock()
	}
	close(s.committer.stop)
	s.running.Wait()
	return errors.Join(append(errs, s.release())...)
}

// release gives back what an open store has of the system.
func (s *Store) release() error {
	var errs []error
	if s.journal != nil {
		s.journal.abandon()
	}
	if s.index != nil {
		if err := s.space.index(0); err != nil && s.refuse == nil {
			s.log.Warn("the index is left as it is, to be brought in order when the storage is opened next", "directory", s.dir, "reason", err)
			s.index.abandon()
		}
		errs = append(errs, s.index.close())
	}
	s.handles.close()
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// place returns the name of a share file and the directory it is in, which it makes if need be.
func (s *Store) place(index share.StorageIndex, n share.Number) (dir, name string, err error) {
	dir, name = s.names(index, n)
	s.dirsMu.Lock()
	defer s.dirsMu.Unlock()
	if s.dirs[index[0]] {
		return dir, name, nil
	}
	if err := mkdir(s.files, s.shares, dir); err != nil {
		return "", "", err
	}
	s.dirs[index[0]] = true
	return dir, name, nil
}

// lockPlace keeps others from putting a file of the storage index in its place, or removing it.
func (s *Store) lockPlace(index share.StorageIndex) (unlock func()) {
	m := &s.placing[index[0]]
	m.Lock()
	return m.Unlock
}

func (s *Store) names(index share.StorageIndex, n share.Number) (dir, name string) {
	dir = filepath.Join(s.shares, fmt.Sprintf("%02x", index[0]))
	return dir, filepath.Join(dir, index.String()+"."+n.String())
}
