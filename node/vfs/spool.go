package vfs

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/internal/wholefile"
	"cairn/share"
	"cairn/share/capability"
)

const (
	dataSuffix   = ".data"
	recordSuffix = ".record"
	maxRecord    = 64 << 20
	// fullWait is how long a writer waits for room in the spool.
	fullWait = 30 * time.Second
)

// A spool is the folder of what was written and is not stored yet: for each file its bytes, at the offsets where they belong,
// and from when it is closed a record that says what they are part of. Both are encrypted. What a record says stays true until
// another takes its place: bytes that it speaks of are not written over.
type spool struct {
	folder string
	max    int64
	key    [32]byte
	seal   cipher.AEAD // of records

	mu     sync.Mutex // guards what follows
	used   int64
	change chan struct{} // closed and replaced when used becomes less
}

// A record says what a file in the spool is.
type record struct {
	id     string
	parent capability.Capability // what Parent says, where it was not read from the disk
	gen    uint64                // of the inode
	// Replaces is the id of a file of the spool that this one takes the place of.
	Replaces string `json:"replaces,omitempty"`
	// Parent and Base are capabilities: of the directory the file belongs in, and of what its bytes lie over.
	Parent     string    `json:"parent"`
	Name       string    `json:"name"`
	Base       string    `json:"base,omitempty"`
	BaseLen    int64     `json:"base_len"`
	Size       int64     `json:"size"`
	Written    extents   `json:"written"`
	Modified   time.Time `json:"modified"`
	Executable bool      `json:"executable,omitempty"`
}

// openSpool returns the spool with the records in it. Bytes without a record were never closed; they are removed, and so is what
// was replaced.
func openSpool(folder string, max int64, key [32]byte) (*spool, []record, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, nil, err
	}
	seal, err := recordSeal(key)
	if err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	s := &spool{folder: folder, max: max, key: key, seal: seal, change: make(chan struct{})}
	records := map[string]record{}
	for _, entry := range entries {
		id, data := strings.CutSuffix(entry.Name(), dataSuffix)
		var r record
		var err error
		if data {
			r, err = s.read(id)
		}
		if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(id, ".") { // a record that was being written
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				return nil, nil, err
			}
			continue
		}
		if !data {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w; move it and its %s file away to start without it", s.path(id, recordSuffix), err, dataSuffix)
		}
		records[id] = r
	}
	for _, r := range records {
		if _, there := records[r.Replaces]; there {
			delete(records, r.Replaces)
			if err := s.remove(r.Replaces); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, r := range records {
		s.used += r.Written.bytes()
	}
	return s, slices.Collect(maps.Values(records)), nil
}

func (s *spool) path(id, suffix string) string { return filepath.Join(s.folder, id+suffix) }

func (s *spool) read(id string) (record, error) {
	r := record{id: id}
	info, err := os.Stat(s.path(id, recordSuffix))
	if err != nil {
		return r, err
	}
	if info.Size() > maxRecord {
		return r, fmt.Errorf("%w: too long", share.ErrCorrupt)
	}
	data, err := os.ReadFile(s.path(id, recordSuffix))
	if err != nil {
		return r, err
	}
	if data, err = s.seal.Open(nil, nil, data, []byte(id)); err != nil {
		return r, fmt.Errorf("%w: it was not sealed with the keys of this node", share.ErrCorrupt)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%w: %w", share.ErrCorrupt, err)
	}
	return r, nil
}

// write makes a record durable against the end of the program.
func (s *spool) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return wholefile.Write(s.path(r.id, recordSuffix), s.seal.Seal(nil, nil, data, []byte(r.id)), 0o600)
}

// rename changes of a record where the file belongs, and which other record it takes the place of.
func (s *spool) rename(id string, parent capability.Capability, name, replaced string) error {
	r, err := s.read(id)
	if err != nil {
		return err
	}
	r.Parent, r.Name, r.Replaces = parent.Text(), name, replaced
	return s.write(r)
}

// forget removes a record, if there is one: its bytes count for nothing then.
func (s *spool) forget(id string) error {
	err := os.Remove(s.path(id, recordSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// remove removes a file from the spool.
func (s *spool) remove(id string) error {
	return errors.Join(s.forget(id), os.Remove(s.path(id, dataSuffix)))
}

// create returns an empty file of the spool.
func (s *spool) create() (id string, f *sectors, err error) {
	id = rand.Text()
	f, err = s.open(id, os.O_CREATE|os.O_EXCL)
	return id, f, err
}

func (s *spool) open(id string, flag int) (*sectors, error) {
	f, err := os.OpenFile(s.path(id, dataSuffix), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	return newSectors(f, s.key, id)
}

// reserve waits until there is room for n more bytes. It returns ErrNoSpace when there is none after a while.
func (s *spool) reserve(ctx context.Context, n int64) error {
	timer := time.NewTimer(fullWait)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.used+n <= s.max || s.used == 0 {
			s.used += n
			s.mu.Unlock()
			return nil
		}
		change := s.change
		s.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fmt.Errorf("%w: %d bytes, as many as may, wait for being stored in the grid; files that are open wait until they are closed or synced", share.ErrNoSpace, s.max)
		}
	}
}

func (s *spool) release(n int64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	close(s.change)
	s.change = make(chan struct{})
}

// dirty returns the bytes in the spool.
func (s *spool) dirty() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func parseOptional(text string) (capability.Capability, error) {
	if text == "" {
		return capability.Capability{}, nil
	}
	return capability.Parse(text)
}
