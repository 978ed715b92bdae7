// Package state keeps what a node remembers of the grid from one run to the next: the newest head that it has seen of each
// mutable name, so that an older one is noticed, when it renewed which leases, and which versions of its own were refused and are kept.
//
// Remembering does not wait for the disk: what was learnt in the last moments before a crash may be forgotten. Then an
// older version could be taken for the newest once more, as by a node that never saw the newer one.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
	"cairn/share"
	"cairn/share/head"
)

const (
	// flushEvery is how long what was learnt waits for more of it before it is written.
	flushEvery = 500 * time.Millisecond
	// openTimeout bounds how long Open waits for another process that has the file.
	openTimeout = 5 * time.Second
	// maxPending is how many names wait for the disk at most; those that come then wait for it.
	maxPending = 10000
)

var headsBucket, renewedBucket, roundsBucket, keptBucket = []byte("heads/1"), []byte("renewed/1"), []byte("rounds/1"), []byte("kept/1")

// A State is the memory of one node, in a file. It is safe for concurrent use.
type State struct {
	db  *boltfile.File
	log *slog.Logger

	writing sync.Mutex // held by who writes to the file

	mu      sync.Mutex // guards what follows
	pending map[share.Name]head.Head

	wake   chan struct{} // holds a token when there is something to write
	stop   chan struct{}
	closed sync.WaitGroup
}

// Open opens the file, which it makes where there is none. One that is damaged is moved aside, and the node begins to
// remember anew. The caller closes the State.
func Open(path string, log *slog.Logger) (*State, error) {
	db, err := open(path)
	if errors.Is(err, boltfile.ErrDamaged) || errors.Is(err, share.ErrCorrupt) {
		aside := path + ".damaged"
		log.Warn("what the node remembered of heads is damaged and was moved aside; it begins anew", "path", aside, "error", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		db, err = open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s := &State{
		db: db, log: log, pending: map[share.Name]head.Head{}, wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	s.closed.Go(s.keepFlushing)
	return s, nil
}

// open opens the file and reads all of it once, which is how damage shows.
func open(path string) (*boltfile.File, error) {
	db, err := boltfile.Open(path, openTimeout, headsBucket, renewedBucket, roundsBucket, keptBucket)
	if err != nil {
		return nil, err
	}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(headsBucket).ForEach(func(k, v []byte) error {
			_, err := decode(k, v)
			return err
		})
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close writes what waits to be written and closes the file.
func (s *State) Close() error {
	close(s.stop)
	s.closed.Wait()
	return errors.Join(s.flush(), s.db.Close())
}

// Seen returns the newest head of a name that was ever remembered.
func (s *State) Seen(name share.Name) (head.Head, bool) {
	s.mu.Lock()
	h, ok := s.pending[name]
	s.mu.Unlock()
	if ok {
		return h, true
	}
	err := s.db.View(func(tx *bolt.Tx) (err error) {
		value := tx.Bucket(headsBucket).Get(name[:])
		if ok = value != nil; ok {
			h, err = decode(name[:], value)
		}
		return err
	})
	if err != nil {
		s.log.Warn("what the node remembers of a head cannot be read", "name", name.String(), "error", err)
		return head.Head{}, false
	}
	return h, ok
}

// Remember remembers a head unless a newer one of the name is known. It does not wait for the disk.
func (s *State) Remember(h head.Head) error {
	if seen, ok := s.Seen(h.Name); ok && !head.Newer(h, seen) {
		return nil
	}
	s.mu.Lock()
	if waiting, ok := s.pending[h.Name]; !ok || head.Newer(h, waiting) {
		s.pending[h.Name] = h
	}
	full := len(s.pending) >= maxPending
	s.mu.Unlock()
	if full {
		return s.flush()
	}
	select {
	case s.wake <- struct{}{}:
	default: // somebody has said so
	}
	return nil
}

// Forget forgets a name, for who has decided to go on from an older version.
func (s *State) Forget(name share.Name) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	delete(s.pending, name)
	s.mu.Unlock()
	err := s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(headsBucket).Delete(name[:]) })
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (s *State) keepFlushing() {
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		timer := time.NewTimer(flushEvery)
		select {
		case <-timer.C:
		case <-s.stop:
			timer.Stop()
			return
		}
		if err := s.flush(); err != nil {
			s.log.Warn("what the node remembers of heads could not be written", "error", err)
		}
	}
}

// flush writes what waits.
func (s *State) flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	writing := maps.Clone(s.pending)
	s.mu.Unlock()
	if len(writing) == 0 {
		return nil
	}
	err := s.db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(headsBucket)
		for name, h := range writing {
			if held := bucket.Get(name[:]); held != nil {
				if old, err := decode(name[:], held); err == nil && !head.Newer(h, old) {
					continue
				}
			}
			if err := bucket.Put(name[:], encode(h)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, h := range writing {
		if s.pending[name].Digest == h.Digest { // nothing newer came meanwhile
			delete(s.pending, name)
		}
	}
	return nil
}

// A value is the sequence, the root, the digest, the time in milliseconds, and the digests of the parents, one behind the other.
const fixed = 8 + 32 + 32 + 8

func encode(h head.Head) []byte {
	value := binary.BigEndian.AppendUint64(nil, h.Sequence)
	value = append(append(value, h.Root[:]...), h.Digest[:]...)
	value = binary.BigEndian.AppendUint64(value, uint64(h.Written.UnixMilli()))
	for _, parent := range h.Parents {
		value = append(value, parent[:]...)
	}
	return value
}

func decode(name, value []byte) (head.Head, error) {
	rest := len(value) - fixed
	if len(name) != len(share.Name{}) || rest < 0 || rest%len(share.Digest{}) != 0 {
		return head.Head{}, fmt.Errorf("%w: a head of %d bytes", share.ErrCorrupt, len(value))
	}
	h := head.Head{
		Name: share.Name(name), Sequence: binary.BigEndian.Uint64(value), Root: share.StorageIndex(value[8:40]), Digest: share.Digest(value[40:72]),
		Written: time.UnixMilli(int64(binary.BigEndian.Uint64(value[72:80]))).UTC(),
	}
	for parents := value[fixed:]; len(parents) > 0; parents = parents[32:] {
		h.Parents = append(h.Parents, share.Digest(parents[:32]))
	}
	return h, nil
}
