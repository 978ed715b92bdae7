package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// rebuildGrace is how long a lease runs at least after the index was computed again: renewals are known to the
// index only, and are lost with it.
const rebuildGrace = 90 * 24 * time.Hour

// replayBatch is how many records become stable together while the index catches up.
const replayBatch = 2000

func (s *Store) indexDir() string { return filepath.Join(s.dir, "index") }

// rebuildMark is a file that is there while the index must not be believed.
func (s *Store) rebuildMark() string { return filepath.Join(s.dir, "rebuild") }

// openingMark is a file that is there while Badger opens its files.
func (s *Store) openingMark() string { return filepath.Join(s.dir, "opening") }

// beginOpening writes the mark that says that Badger opens its files: damage that nobody foresees may end the process
// there. It reports whether the index must not be opened again: when two processes ended there one after the other, or one
// did and there is damage.
func (s *Store) beginOpening() (suspect bool, err error) {
	ended, err := os.ReadFile(s.openingMark()) // one byte for each process that ended there
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(ended) > 0 {
		err := checkTables(s.indexDir(), deep)
		suspect = err != nil || len(ended) > 1
		s.log.Warn("the process ended while it opened the index", "directory", s.dir, "times", len(ended), "damage", err)
	}
	mark := []byte("..")[:min(len(ended), 1)+1]
	return suspect, writeFile(s.files, s.openingMark(), mark)
}

// mark makes an empty file whose name is stable.
func (s *Store) mark(name string) error {
	f, err := s.files.Open(name, openNew)
	if err == nil {
		err = errors.Join(f.Close(), s.files.SyncDir(s.dir))
	}
	return fail(err)
}

// markDamaged makes the next Open compute the index again. Only the first damage is told.
func (s *Store) markDamaged(cause error) {
	if s.damaged.Swap(true) {
		return
	}
	s.log.Error("the storage's index is damaged; it is computed again when the storage is opened next", "directory", s.dir, "error", cause)
	if err := s.mark(s.rebuildMark()); err != nil {
		s.log.Error("cannot note that the index is damaged", "file", s.rebuildMark(), "error", err)
	}
}

// openIndex opens the index and brings it up to date with the journal. An index that is damaged or gone is computed again.
func (s *Store) openIndex(rebuild bool) (stateRecord, error) {
	if s.refuse != nil {
		return s.openIndexReadOnly()
	}
	if _, err := os.Stat(s.rebuildMark()); err == nil {
		rebuild = true
	}
	suspect, err := s.beginOpening()
	if errors.Is(err, share.ErrReadOnly) {
		s.refuse = err
		return s.openIndexReadOnly()
	}
	if err != nil {
		return stateRecord{}, err
	}
	state, found, err := s.openIndexMarked(rebuild || suspect)
	if err := errors.Join(err, fail(removeAll(s.files, s.openingMark()))); err != nil {
		return state, err
	}
	if !found {
		// What is half done when the process ends now must not pass for whole.
		if err := s.mark(s.rebuildMark()); err != nil {
			return state, err
		}
	}
	if state, err = s.catchUp(state, !found); err != nil {
		return state, err
	}
	return state, fail(removeAll(s.files, s.rebuildMark()))
}

// openIndexMarked opens the index, an empty one where that there is cannot be used.
func (s *Store) openIndexMarked(rebuild bool) (state stateRecord, found bool, err error) {
	if rebuild {
		err = s.discardIndex(errors.New("asked to, or it was damaged when last used"))
	}
	if err == nil {
		state, found, err = s.tryIndex(false)
	}
	if err != nil && !rebuild && !isShortage(err) {
		if err := s.discardIndex(err); err != nil {
			return state, false, err
		}
		state, found, err = s.tryIndex(false)
	}
	return state, found, err
}

// isShortage reports whether an error says that the machine is short of something, and not that files are damaged.
func isShortage(err error) bool {
	for _, e := range []error{share.ErrNoSpace, share.ErrReadOnly, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// tryIndex opens the index and reads its state.
func (s *Store) tryIndex(readOnly bool) (state stateRecord, found bool, err error) {
	o := indexOptions{dir: s.indexDir(), readOnly: readOnly, memTable: s.memTable, free: s.space.index, log: s.log}
	if s.index, err = openIndex(o); err != nil {
		return state, false, err
	}
	found, err = s.index.get(stateKey, &state)
	s.index.damaged = s.markDamaged
	return state, found, err
}

// discardIndex moves the index aside.
func (s *Store) discardIndex(cause error) error {
	if s.index != nil {
		s.index.close() // it is given up; what goes wrong here does not matter
		s.index = nil
	}
	older, err := filepath.Glob(s.indexDir() + ".damaged-*")
	if err != nil {
		return err
	}
	aside := s.indexDir() + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	err = s.files.Rename(s.indexDir(), aside)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = s.files.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("move the index aside: %w", fail(err))
	}
	for _, name := range older {
		if err := os.RemoveAll(name); err != nil {
			s.log.Warn("an old index cannot be removed", "directory", name, "error", err)
		}
	}
	s.log.Warn("the storage's index is computed again from the shares", "directory", s.dir, "moved aside", aside, "reason", cause)
	return nil
}

// openIndexReadOnly opens the index without writing; what it lacks is kept in memory.
func (s *Store) openIndexReadOnly() (stateRecord, error) {
	state, found, err := s.tryIndex(true)
	if err != nil {
		s.log.Warn("the index cannot be read as it is; it is computed in memory", "error", err)
		s.index, state, found = newIndex(nil), stateRecord{}, false
	} else {
		s.index.damaged = func(err error) { s.log.Error("the storage's index is damaged", "error", err) }
	}
	s.index.overlay = true
	return s.catchUp(state, !found)
}

// catchUp applies what the journal has behind the end of the index, and everything that is on the disk to an index
// that is new.
func (s *Store) catchUp(state stateRecord, whole bool) (stateRecord, error) {
	state, err := s.loadOwners(state, whole)
	if err != nil {
		return state, fmt.Errorf("count what the owners have: %w", err)
	}
	r := &replay{store: s, committer: newCommitter(s.journal, s.index, s.space, state), whole: whole, gone: map[fileID]bool{}, doubtful: map[fileID]bool{}, touched: map[share.Name]bool{}}
	if _, err := s.index.get(headsKey, &r.committer.heads); err != nil {
		return state, err
	}
	r.begin()
	skipped, err := s.journal.scan(state.At, r.visit)
	if err == nil && whole {
		err = r.walk()
	}
	if err == nil {
		err = r.flush()
	}
	if err == nil {
		err = r.retire()
	}
	if err != nil {
		return r.committer.state, fmt.Errorf("bring the index up to date: %w", err)
	}
	if skipped > 0 {
		s.log.Warn("the journal has bytes that are no records: an interrupted write, or damage", "directory", s.dir, "bytes", skipped)
	}
	for id := range r.gone {
		s.log.Warn("a share file is gone", "index", id.index, "number", id.number)
	}
	if r.changed > 0 {
		s.log.Info("the index was brought up to date", "directory", s.dir, "records", r.changed, "unreadable files", r.bad+len(r.gone))
	}
	return r.committer.state, nil
}

// A replay puts journal records and share files into the index.
type replay struct {
	store     *Store
	committer *committer
	batch     *batch
	whole     bool // into an empty index
	pending   int
	changed   int
	bad       int
	gone      map[fileID]bool // share files that the journal tells of and that are not there
	doubtful  map[fileID]bool // and those that are there although it tells that the share was removed
	touched   map[share.Name]bool
}

// A fileID names a share file.
type fileID struct {
	index  share.StorageIndex
	number share.Number
}

func (r *replay) begin() {
	c := r.committer
	r.batch = c.newBatch()
	r.pending = 0
}

// flush makes the batch stable. The state is written even when nothing else is: an index that has one is whole.
func (r *replay) flush() error {
	changes := r.batch.changes()
	if len(changes) == 0 {
		changes = []change{{stateKey, seal(r.batch.state)}}
	}
	if err := r.committer.index.write(changes); err != nil {
		return err
	}
	r.committer.state, r.committer.heads = r.batch.state, r.batch.heads
	r.store.space.settle(r.committer.used(), r.batch.more, nil)
	r.begin()
	return nil
}

func (r *replay) count() error {
	r.changed++
	if r.pending++; r.pending < replayBatch {
		return nil
	}
	return r.flush()
}

// visit applies one record of the journal.
func (r *replay) visit(v visit) error {
	defer func() { r.batch.state.At = v.next }()
	var err error
	switch v.kind {
	case kindSmall, kindFile, kindRemoved:
		var record journalRecord
		if err = decodeFrame(v.payload, &record); err == nil {
			return r.share(v, record)
		}
	case kindHead:
		var record headRecord
		if err = decodeFrame(v.payload, &record); err == nil {
			return r.head(v, record)
		}
	case kindForgotten:
		var record forgottenRecord
		if err = decodeFrame(v.payload, &record); err == nil {
			return r.forgotten(record)
		}
	default:
		return nil // of a later version: nothing that this one could serve
	}
	return r.reject(v, err)
}

// reject tells of a record that describes nothing.
func (r *replay) reject(v visit, cause error) error {
	r.bad++
	r.store.log.Warn("a journal record describes nothing that can be held", "segment", v.at.Segment, "offset", v.at.Offset, "error", cause)
	return nil
}

func (r *replay) share(v visit, record journalRecord) error {
	id := fileID{record.Index, record.Number}
	delete(r.doubtful, id)
	if v.kind == kindRemoved {
		delete(r.gone, id)
		if _, name := r.store.names(record.Index, record.Number); r.whole && record.Size == fileTombstone {
			if _, err := os.Stat(name); err == nil {
				r.doubtful[id] = true
			}
		}
		if _, err := r.batch.remove(record.Index, record.Number); err != nil {
			return err
		}
		return r.count()
	}
	root, err := encoding.CheckRoot(record.Index, record.Root)
	if err == nil && (int(record.Number) >= root.Total || record.Size != root.Layout().RootOffset()+int64(len(record.Root))) {
		err = errFrame
	}
	if err != nil {
		return r.reject(v, err)
	}
	s := shareRecord{Number: record.Number, Size: record.Size}
	if v.kind == kindSmall {
		s.At = v.at
		return r.put(record, s)
	}
	_, name := r.store.names(record.Index, record.Number)
	if _, err := os.Stat(name); err != nil {
		r.gone[id] = true
		return nil
	}
	return r.put(record, s)
}

// head applies a version of a name. Records may come in another order than versions, because segments are written anew:
// what is out of the retention is retired at the end.
func (r *replay) head(v visit, record headRecord) error {
	if v.at.Offset-record.Group < v.clean {
		return r.reject(v, errors.New("a version whose shares were not written whole"))
	}
	n, err := r.batch.name(record.Name)
	if err != nil {
		return err
	}
	if r.whole {
		record.Lease.Expires = max(record.Lease.Expires, time.Now().Add(rebuildGrace).Unix())
	}
	if err := r.batch.putVersion(n, record, v.at, v.next.Offset-v.at.Offset); err != nil {
		return err
	}
	if !r.whole {
		r.touched[record.Name] = true
	}
	if excess := len(n.Versions) - share.MaxHistory; excess > share.MaxHistory {
		r.batch.drop(n, excess)
	}
	return r.count()
}

// retire forgets the versions that are out of their retention, of all names or of those that were touched. Those that are too
// old are left for the collection, which has a clock to trust.
func (r *replay) retire() error {
	retire := func(name share.Name) error {
		n, err := r.batch.name(name)
		if err == nil {
			_, err = r.batch.retire(name, n, func(age time.Duration) (now time.Time) {
				if age == 0 {
					now = time.Now()
				}
				return now
			})
		}
		return err
	}
	for key := range r.committer.index.memory {
		if r.whole && key[0] == namePrefix && len(key) == 1+len(share.Name{}) {
			r.touched[share.Name([]byte(key[1:]))] = true
		}
	}
	for name := range r.touched {
		if err := retire(name); err != nil {
			return err
		}
	}
	var after []byte
	for r.whole {
		page, err := r.committer.index.page(namePrefix, after, collectPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].key[1:]
		for _, c := range page {
			if len(c.key) != 1+len(share.Name{}) {
				continue
			}
			if err := retire(share.Name(c.key[1:])); err != nil {
				return err
			}
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
	return r.flush()
}

func (r *replay) forgotten(record forgottenRecord) error {
	n, err := r.batch.name(record.Name)
	if err == nil {
		err = r.batch.dropName(record.Name, n)
	}
	if err != nil {
		return err
	}
	return r.count()
}

func (r *replay) put(record journalRecord, s shareRecord) error {
	f, err := r.batch.file(record.Index)
	if err != nil {
		return err
	}
	if r.whole {
		record.Lease.Expires = max(record.Lease.Expires, time.Now().Add(rebuildGrace).Unix())
	}
	if record.Lease.Owner == "" {
		// Written anew when nobody had a lease on it any more: it goes, unless somebody has one now.
		if len(f.Leases) == 0 {
			f.Leases = []leaseRecord{record.Lease}
		}
	} else if err := f.lease(record.Lease); err != nil {
		r.store.log.Warn("a lease is dropped", "index", record.Index, "error", err)
	}
	if err := r.batch.put(f, record, s); err != nil {
		return err
	}
	return r.count()
}

// walk finds the share files that the journal did not tell of.
func (r *replay) walk() error {
	return r.store.eachFile(func(index share.StorageIndex, n share.Number, name string) error {
		f, err := r.batch.file(index)
		if err != nil {
			return err
		}
		if _, ok := f.share(n); ok {
			return nil // here, or in the journal since
		}
		record, err := readShareFile(r.store.files, index, n, name)
		if err == nil && r.doubtful[fileID{index, n}] {
			_, err = r.store.examine(fileRecord{Root: record.Root}, shareRecord{Number: n, Size: record.Size}, index, func(from share.Reader, root []byte) error {
				return encoding.Verify(context.Background(), from, index, n, root)
			})
		}
		if err != nil {
			r.bad++
			r.store.log.Warn("a share file cannot be read; the scrub will move it aside", "file", name, "error", err)
			return nil
		}
		return r.put(record, shareRecord{Number: n, Size: record.Size})
	})
}

// eachFile calls fn with every file below shares that has the name of a share.
func (s *Store) eachFile(fn func(share.StorageIndex, share.Number, string) error) error {
	dirs, err := os.ReadDir(s.shares)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(s.shares, dir.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			index, n, ok := parseName(e.Name())
			if !ok {
				continue
			}
			if err := fn(index, n, filepath.Join(s.shares, dir.Name(), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseName reads the name of a share file.
func parseName(name string) (index share.StorageIndex, n share.Number, ok bool) {
	text, number, ok := strings.Cut(name, ".")
	if !ok {
		return index, 0, false
	}
	v, err := strconv.ParseUint(number, 10, 8)
	if err != nil || share.Number(v).String() != number {
		return index, 0, false
	}
	index, err = share.ParseStorageIndex(text)
	return index, share.Number(v), err == nil
}

// readShareFile reads what the end of a share file says of it. It does not look at the blocks.
func readShareFile(f files, index share.StorageIndex, n share.Number, name string) (journalRecord, error) {
	file, err := f.Open(name, openRead)
	if err != nil {
		return journalRecord{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return journalRecord{}, err
	}
	end := make([]byte, min(info.Size(), int64(footerMax+encoding.MaxRootSize)))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil && err != io.EOF {
		return journalRecord{}, err
	}
	foot, err := parseFooter(end)
	if err != nil {
		return journalRecord{}, err
	}
	at := len(end) - foot.size() - foot.RootLen
	if at < 0 || foot.Number != n {
		return journalRecord{}, fmt.Errorf("footer: %w: it is that of another share", share.ErrCorrupt)
	}
	rootBlock := bytes.Clone(end[at : at+foot.RootLen])
	root, err := encoding.CheckRoot(index, rootBlock)
	if err != nil {
		return journalRecord{}, err
	}
	size := root.Layout().RootOffset() + int64(len(rootBlock))
	if int(n) >= root.Total || size+int64(foot.size()) != info.Size() {
		return journalRecord{}, fmt.Errorf("share file: %w: %d bytes, want %d", share.ErrCorrupt, info.Size(), size+int64(foot.size()))
	}
	return journalRecord{Index: index, Number: n, Root: rootBlock, Size: size, Upload: foot.Upload, Lease: foot.Lease}, nil
}

// Rebuild computes the index of a directory again from the journal and the share files, and returns what it found.
func Rebuild(dir string, o Options) (Stats, error) {
	o.RebuildIndex = true
	s, err := Open(dir, o)
	if err != nil {
		return Stats{}, err
	}
	stats, err := s.Stats(context.Background())
	return stats, errors.Join(err, s.Close())
}
