package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
	"cairn/node/localtree"
	"cairn/share/capability"
)

const (
	// openTimeout bounds how long OpenMemory waits for another backup of the same node.
	openTimeout = 2 * time.Second
	// maxPending is how many records wait for the disk at most.
	maxPending = 1000
	// recordVersion is the first byte of a record. One of version 1 does not have on how many servers what was stored then counted.
	recordVersion = 2
)

var (
	filesBucket   = []byte("files/1")   // a bucket for each folder on disk: path -> record
	foldersBucket = []byte("folders/1") // digest of what a folder holds -> record
)

// ErrInUse says that another process uses the memory.
var ErrInUse = errors.New("another backup or copy of this node is running")

// A Memory remembers as what files and folders of this machine were stored, so that they are neither read nor sent again while
// they do not change. It is a cache: who loses it pays with time. It holds read capabilities, so nobody else may read it.
// A Memory is safe for concurrent use.
type Memory struct {
	db    *boltfile.File
	clock func() time.Time

	mu      sync.Mutex // guards what follows
	pending []pending
}

type pending struct {
	bucket     []byte // within filesBucket; nil for foldersBucket
	key, value []byte
}

// OpenMemory opens the file, which it makes where there is none; one that is damaged begins anew. It returns ErrInUse. The clock
// may be nil.
func OpenMemory(path string, clock func() time.Time) (*Memory, error) {
	if clock == nil {
		clock = time.Now
	}
	db, err := boltfile.Open(path, openTimeout, filesBucket, foldersBucket)
	if errors.Is(err, boltfile.ErrDamaged) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("memory of backups: %w", err)
		}
		db, err = boltfile.Open(path, openTimeout, filesBucket, foldersBucket)
	}
	if errors.Is(err, boltfile.ErrInUse) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("memory of backups: %w", err)
	}
	return &Memory{db: db, clock: clock}, nil
}

// Close writes what waits to be written and closes the file.
func (m *Memory) Close() error { return errors.Join(m.Flush(), m.db.Close()) }

// Flush writes what waits to be written.
func (m *Memory) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.flush()
}

func (m *Memory) flush() error {
	if len(m.pending) == 0 {
		return nil
	}
	err := m.db.Update(func(tx *bolt.Tx) error {
		for _, p := range m.pending {
			bucket := tx.Bucket(foldersBucket)
			if p.bucket != nil {
				var err error
				if bucket, err = tx.Bucket(filesBucket).CreateBucketIfNotExists(p.bucket); err != nil {
					return err
				}
			}
			if err := bucket.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("memory of backups: %w", err)
	}
	m.pending = m.pending[:0]
	return nil
}

func (m *Memory) put(p pending) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = append(m.pending, p)
	if len(m.pending) < maxPending {
		return nil
	}
	return m.flush()
}

// get returns a record, or nil.
func (m *Memory) get(bucket, key []byte) (value []byte) {
	_ = m.db.View(func(tx *bolt.Tx) error { // without a record a file is stored again, which is always right
		b := tx.Bucket(foldersBucket)
		if bucket != nil {
			b = tx.Bucket(filesBucket).Bucket(bucket)
		}
		if b != nil {
			value = bytes.Clone(b.Get(key))
		}
		return nil
	})
	return value
}

// A record says as what something was stored. On disk it is a version, a checksum over what follows, when it ends, the facts it depends
// on, on how many servers what was stored then counted, and a capability.
type record struct {
	until      time.Time
	facts      [sha256.Size]byte
	wanted     int
	capability capability.Capability
}

const recordHead = 1 + 8 + 8 + sha256.Size

func (r record) encode() []byte {
	body := binary.BigEndian.AppendUint64(nil, uint64(r.until.Unix()))
	body = append(body, r.facts[:]...)
	body = binary.BigEndian.AppendUint16(body, uint16(r.wanted))
	body = append(body, r.capability.Text()...)
	sum := sha256.Sum256(body)
	return append(append([]byte{recordVersion}, sum[:8]...), body...)
}

// parse returns the record, unless it is damaged or has ended.
func parse(raw []byte, now time.Time) (r record, ok bool) {
	if len(raw) < recordHead || raw[0] < 1 || raw[0] > recordVersion {
		return r, false
	}
	body := raw[9:]
	sum := sha256.Sum256(body)
	r.until = ends(raw)
	if !bytes.Equal(sum[:8], raw[1:9]) || !now.Before(r.until) {
		return r, false
	}
	r.facts = [sha256.Size]byte(body[8:])
	text := body[8+len(r.facts):]
	if raw[0] > 1 {
		if len(text) < 2 {
			return r, false
		}
		r.wanted = int(binary.BigEndian.Uint16(text))
		text = text[2:]
	}
	var err error
	r.capability, err = capability.Parse(string(text))
	return r, err == nil
}

// decode returns the capability of a record that holds for these facts now.
func decode(raw []byte, facts [sha256.Size]byte, now time.Time) (capability.Capability, bool) {
	r, ok := parse(raw, now)
	if !ok || r.facts != facts {
		return capability.Capability{}, false
	}
	return r.capability, true
}

// facts are what has to be as it was for a file to be the same.
func facts(e localtree.Entry) [sha256.Size]byte {
	text := fmt.Sprintf("%d %d %d %d %d %d %q", e.Kind, e.Size, e.Modified.UnixNano(), e.ID.Device, e.ID.Inode, e.ID.Changed, e.Target)
	return sha256.Sum256([]byte(text))
}

// Sweep forgets the records that no longer hold, such as those of files that were removed long ago.
func (m *Memory) Sweep() error {
	now := m.clock()
	err := m.db.Update(func(tx *bolt.Tx) error {
		err := tx.Bucket(filesBucket).ForEachBucket(func(name []byte) error {
			return sweep(tx.Bucket(filesBucket).Bucket(name), now)
		})
		return errors.Join(err, sweep(tx.Bucket(foldersBucket), now))
	})
	if err != nil {
		return fmt.Errorf("memory of backups: %w", err)
	}
	return nil
}

func sweep(b *bolt.Bucket, now time.Time) error {
	var old [][]byte
	err := b.ForEach(func(k, v []byte) error {
		if len(v) < recordHead || !now.Before(ends(v)) {
			old = append(old, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range old {
		err = errors.Join(err, b.Delete(k))
	}
	return err
}

// ends returns when a record ends.
func ends(record []byte) time.Time { return time.Unix(int64(binary.BigEndian.Uint64(record[9:])), 0) }

// For returns the part of the memory for one folder on disk. Records hold for the given time, which is less than what the
// grid keeps a file without hearing of it; then a file is stored again, which moves nothing that the grid still has.
func (m *Memory) For(folder string, holds time.Duration) *Files {
	return &Files{m: m, bucket: []byte(folder), holds: holds}
}

// Files are what a Memory knows of the files in one folder on disk.
type Files struct {
	m      *Memory
	bucket []byte
	holds  time.Duration
	wanted int
}

// Stored returns what an unchanged file was stored as.
func (f *Files) Stored(e localtree.Entry) (capability.Capability, bool) {
	return decode(f.m.get(f.bucket, []byte(e.Path)), facts(e), f.m.clock())
}

// Remember keeps what a file was stored as.
func (f *Files) Remember(e localtree.Entry, c capability.Capability) error {
	return f.m.put(pending{f.bucket, []byte(e.Path), f.record(facts(e), c)})
}

// Folder returns as what a folder with these contents, given by their digest, was stored.
func (f *Files) Folder(contents [sha256.Size]byte) (capability.Capability, bool) {
	return decode(f.m.get(nil, contents[:]), contents, f.m.clock())
}

// RememberFolder keeps what a folder was stored as.
func (f *Files) RememberFolder(contents [sha256.Size]byte, c capability.Capability) error {
	return f.m.put(pending{nil, contents[:], f.record(contents, c)})
}

func (f *Files) record(facts [sha256.Size]byte, c capability.Capability) []byte {
	return record{until: f.m.clock().Add(f.holds), facts: facts, wanted: f.wanted, capability: c}.encode()
}
