package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
	"cairn/share/head"
)

const (
	// maxKept is how many refused versions of a name are remembered, and maxKeptInAll how many of all names.
	maxKept      = 100
	maxKeptInAll = 10000
)

// A kept version is under the name and the record's digest; the value is the time in milliseconds until which it is kept, and
// the head as in the other bucket.
type kept struct {
	key   []byte
	until time.Time
	head  head.Head
}

// Keep remembers a version that lost a collision until a time, and waits for the disk. Of more than a hundred of one name the
// oldest are forgotten; where ten thousand are remembered in all it returns an error that wraps share.ErrNoSpace.
func (s *State) Keep(h head.Head, until time.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(keptBucket)
		before, err := keptOf(bucket, h.Name[:])
		if err != nil {
			return err
		}
		slices.SortFunc(before, func(a, b kept) int { return a.until.Compare(b.until) })
		for i, k := range before {
			if time.Now().After(k.until) || len(before)-i >= maxKept {
				if err := bucket.Delete(k.key); err != nil {
					return err
				}
			}
		}
		if bucket.Stats().KeyN >= maxKeptInAll {
			if err := dropEnded(bucket); err != nil {
				return err
			}
		}
		value := binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli()))
		return bucket.Put(append(h.Name[:], h.Digest[:]...), append(value, encode(h)...))
	})
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// dropEnded removes what need not be kept any more, and returns an error where that is nothing.
func dropEnded(bucket *bolt.Bucket) error {
	all, err := keptOf(bucket, nil)
	if err != nil {
		return err
	}
	dropped := 0
	for _, k := range all {
		if time.Now().After(k.until) {
			dropped++
			if err := bucket.Delete(k.key); err != nil {
				return err
			}
		}
	}
	if dropped == 0 {
		return fmt.Errorf("%w: %d versions that were refused are kept already", share.ErrNoSpace, len(all))
	}
	return nil
}

// Kept returns the versions of a name that are kept.
func (s *State) Kept(name share.Name) ([]head.Head, error) {
	var heads []head.Head
	err := s.db.View(func(tx *bolt.Tx) error {
		all, err := keptOf(tx.Bucket(keptBucket), name[:])
		for _, k := range all {
			if time.Now().Before(k.until) {
				heads = append(heads, k.head)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return heads, nil
}

// keptOf returns what is kept of a name, or of all.
func keptOf(bucket *bolt.Bucket, name []byte) ([]kept, error) {
	var all []kept
	c := bucket.Cursor()
	for key, value := c.Seek(name); key != nil && bytes.HasPrefix(key, name); key, value = c.Next() {
		if len(value) < 8 || len(key) != len(share.Name{})+len(share.Digest{}) {
			return nil, fmt.Errorf("%w: a version that is kept, of %d bytes", share.ErrCorrupt, len(value))
		}
		h, err := decode(key[:len(share.Name{})], value[8:])
		if err != nil {
			return nil, err
		}
		all = append(all, kept{bytes.Clone(key), time.UnixMilli(int64(binary.BigEndian.Uint64(value))), h})
	}
	return all, nil
}
