package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/y"

	"cairn/share"
)

// The index answers quickly what the journal says, and keeps renewed leases. All of it but those can be computed
// again from the journal and the share files.
type index struct {
	db      *badger.DB // nil for an index that lives in memory
	compact *compactor // nil for an index that is not written
	// memory holds what is not in db: everything when there is none, or what a read-only store found in the journal
	// behind the end of the index. It is written only while the store opens.
	memory  map[string][]byte
	overlay bool // writes go to memory
	// damaged is told of damage that a read came upon.
	damaged func(error)

	// use is held by those who use db, and by close: Badger unmaps its files under a reader.
	use    sync.RWMutex
	closed bool
	torn   bool // a change was written in part; used by the one that writes
}

var errIndexClosed = fmt.Errorf("index: %w", share.ErrClosed)

const (
	memTableBytes = 8 << 20
	// maxValue is more than the largest record takes: 256 shares, 256 leases with names of 256 bytes, and a root.
	maxValue = 128 << 10
	// indexHeadroom is the disk space without which Badger is not started nor written: a full disk under its memory
	// maps is a bus error that kills the process.
	indexHeadroom = 8*memTableBytes + 16<<20
)

var (
	stateKey = []byte("state")
	scrubKey = []byte("scrub")
)

func fileKey(index share.StorageIndex) []byte { return append([]byte{'s'}, index[:]...) }
func uploadKey(upload [32]byte) []byte        { return append([]byte{'u'}, upload[:]...) }

// guard turns a panic into an error: Badger panics on some damage, and its memory maps fault where the disk cannot be
// read or is full.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", share.ErrCorrupt, p)
		}
	}()
	return fn()
}

// indexOptions say how Badger is used.
type indexOptions struct {
	dir      string
	readOnly bool
	memTable int64 // bytes
	free     func(need int64) error
	log      *slog.Logger
}

// openIndex opens Badger.
func openIndex(i indexOptions) (*index, error) {
	o := badger.DefaultOptions(i.dir).
		WithMemTableSize(i.memTable).WithNumMemtables(2).
		WithBlockCacheSize(8 << 20).WithCompression(options.None).
		WithValueThreshold(maxValue).WithValueLogFileSize(1 << 20). // the value log stays empty
		WithSyncWrites(true).WithChecksumVerificationMode(options.OnBlockRead).
		WithDetectConflicts(false).WithMetricsEnabled(false).
		WithNumCompactors(0).WithNumLevelZeroTablesStall(math.MaxInt). // compact.go does it
		WithNumGoroutines(1).
		WithReadOnly(i.readOnly).WithBypassLockGuard(true).
		WithLogger(badgerLog{i.log})
	if err := checkTables(i.dir, shallow); err != nil {
		return nil, err
	}
	var db *badger.DB
	err := guard(func() (err error) {
		db, err = badger.Open(o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("index: %w", fail(err))
	}
	x := newIndex(db)
	if !i.readOnly {
		x.compact = startCompactor(db, i)
	}
	return x, nil
}

func newIndex(db *badger.DB) *index {
	return &index{db: db, memory: map[string][]byte{}, damaged: func(error) {}}
}

// end ends the use of the index and reports whether it was in use.
func (x *index) end() bool {
	x.use.Lock()
	was := !x.closed
	x.closed = true
	x.use.Unlock()
	if was && x.compact != nil {
		x.compact.stop()
	}
	return was
}

// abandon ends the use of the index without closing Badger, which writes when it is closed and is killed by a full
// disk. What it would have written it computes again from its log.
func (x *index) abandon() { x.end() }

func (x *index) close() error {
	if !x.end() || x.db == nil {
		return nil
	}
	return x.db.Close()
}

// view reads from Badger.
func (x *index) view(fn func(*badger.Txn) error) error {
	x.use.RLock()
	defer x.use.RUnlock()
	if x.closed {
		return errIndexClosed
	}
	err := guard(func() error { return x.db.View(fn) })
	if err == nil {
		return nil
	}
	if errors.Is(err, y.ErrChecksumMismatch) {
		err = fmt.Errorf("%w: %w", share.ErrCorrupt, err)
	}
	if errors.Is(err, share.ErrCorrupt) {
		x.damaged(err)
	}
	return fmt.Errorf("index: %w", err)
}

// check reads all of the index that is in tables and compares it with its checksums.
func (x *index) check() error {
	if x.db == nil {
		return nil
	}
	for _, id := range x.tables() {
		err := checkTableFile(filepath.Join(x.db.Opts().Dir, fmt.Sprintf("%06d.sst", id)), deep)
		if err != nil && !slices.Contains(x.tables(), id) {
			continue // compaction has removed it meanwhile
		}
		if errors.Is(err, share.ErrCorrupt) {
			x.damaged(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tables returns the numbers of the tables that Badger uses; one that it is still writing is not among them.
func (x *index) tables() []uint64 {
	x.use.RLock()
	defer x.use.RUnlock()
	if x.closed {
		return nil
	}
	var ids []uint64
	for _, t := range x.db.Tables() {
		ids = append(ids, t.ID)
	}
	return ids
}

// get reads and decodes one record; it reports whether there is one.
func (x *index) get(key []byte, record any) (bool, error) {
	if data, ok := x.memory[string(key)]; ok {
		if data == nil {
			return false, nil
		}
		return true, unseal(data, record)
	}
	if x.db == nil {
		return false, nil
	}
	found := false
	err := x.view(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return item.Value(func(data []byte) error { return unseal(data, record) })
	})
	return found, err
}

// file returns the record of one encoded file, or one without shares.
func (x *index) file(index share.StorageIndex) (fileRecord, error) {
	var r fileRecord
	_, err := x.get(fileKey(index), &r)
	return r, err
}

// A change is a record to be written; nil data deletes it.
type change struct{ key, data []byte }

// write makes changes stable, the last one together with or after all others.
func (x *index) write(changes []change) error {
	if x.db == nil || x.overlay {
		for _, c := range changes {
			x.memory[string(c.key)] = c.data
		}
		return nil
	}
	x.use.RLock()
	defer x.use.RUnlock()
	if x.closed {
		return errIndexClosed
	}
	w := &indexWriter{index: x, txn: x.db.NewTransaction(true)}
	err := w.write(changes)
	w.txn.Discard()
	if err != nil {
		x.torn = x.torn || w.split
		return fmt.Errorf("index: %w", fail(err))
	}
	return nil
}

// An indexWriter writes changes in one transaction, or in several where they do not fit into one. Before the first of
// several it takes away the mark that the owners are counted, and puts it back with the last: who finds the index in between
// counts anew.
type indexWriter struct {
	index *index
	txn   *badger.Txn
	split bool
}

func (w *indexWriter) write(changes []change) error {
	for _, c := range changes {
		if err := w.put(c); err != nil {
			return err
		}
	}
	if w.split && !w.index.torn {
		if err := w.put(counted); err != nil {
			return err
		}
	}
	return w.txn.Commit()
}

func (w *indexWriter) put(c change) error {
	err := w.set(c)
	if !errors.Is(err, badger.ErrTxnTooBig) {
		return err
	}
	if !w.split {
		w.split = true
		if err := w.index.db.Update(func(txn *badger.Txn) error { return txn.Delete(countedKey) }); err != nil {
			return err
		}
	}
	if err := w.txn.Commit(); err != nil {
		return err
	}
	w.txn = w.index.db.NewTransaction(true)
	return w.set(c)
}

func (w *indexWriter) set(c change) error {
	w.index.compact.wrote(int64(len(c.key) + len(c.data)))
	if c.data == nil {
		return w.txn.Delete(c.key)
	}
	return w.txn.Set(c.key, c.data)
}

// each calls fn with every record whose key begins with the prefix, in no order. fn retains neither slice and does not
// use the index.
func (x *index) each(prefix byte, fn func(key, data []byte) error) error {
	for key, data := range x.memory {
		if key[0] == prefix && data != nil {
			if err := fn([]byte(key), data); err != nil {
				return err
			}
		}
	}
	if x.db == nil {
		return nil
	}
	return x.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix = []byte{prefix}
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if _, overlaid := x.memory[string(item.Key())]; overlaid {
				continue
			}
			if err := item.Value(func(data []byte) error { return fn(item.Key(), data) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// page returns up to n records in Badger whose key begins with the prefix and follows the given key, in order.
func (x *index) page(prefix byte, after []byte, n int) ([]change, error) {
	if x.db == nil {
		return nil, nil
	}
	var found []change
	err := x.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchSize = []byte{prefix}, min(n, o.PrefetchSize)
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(append(append([]byte{prefix}, after...), 0)); it.Valid() && len(found) < n; it.Next() {
			data, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			found = append(found, change{it.Item().KeyCopy(nil), data})
		}
		return nil
	})
	return found, err
}

// after returns up to n storage indexes that follow the given one in order.
func (x *index) after(last share.StorageIndex, n int) ([]share.StorageIndex, error) {
	seen := map[share.StorageIndex]bool{}
	for key, data := range x.memory {
		if index, ok := indexOfKey([]byte(key)); ok && data != nil && compare(index, last) > 0 {
			seen[index] = true
		}
	}
	if x.db != nil {
		err := x.view(func(txn *badger.Txn) error {
			o := badger.DefaultIteratorOptions
			o.PrefetchValues = false
			o.Prefix = []byte{'s'}
			it := txn.NewIterator(o)
			defer it.Close()
			count := 0
			for it.Seek(append(fileKey(last), 0)); it.Valid() && count < n; it.Next() {
				key := it.Item().Key()
				index, ok := indexOfKey(key)
				if _, overlaid := x.memory[string(key)]; ok && !overlaid {
					seen[index] = true
					count++
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	found := slices.SortedFunc(maps.Keys(seen), compare)
	return found[:min(n, len(found))], nil
}

func compare(a, b share.StorageIndex) int { return slices.Compare(a[:], b[:]) }

func indexOfKey(key []byte) (index share.StorageIndex, ok bool) {
	if len(key) != 1+len(index) || key[0] != 's' {
		return index, false
	}
	copy(index[:], key[1:])
	return index, true
}

// badgerLog passes Badger's warnings and errors on.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, args ...any) {
	l.log.Error("index", "badger", fmt.Sprintf(format, args...))
}

func (l badgerLog) Warningf(format string, args ...any) {
	l.log.Warn("index", "badger", fmt.Sprintf(format, args...))
}
func (l badgerLog) Infof(string, ...any)  {}
func (l badgerLog) Debugf(string, ...any) {}
