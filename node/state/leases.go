package state

import (
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"cairn/share"
)

// lastRound is where it stands when everything was last gone through.
var lastRound = []byte("last")

// Renewed returns when the leases of a file were last renewed, the zero time when that is not known.
func (s *State) Renewed(index share.StorageIndex) time.Time { return s.time(renewedBucket, index[:]) }

// LastRound returns when all leases were last gone through, the zero time when that is not known.
func (s *State) LastRound() time.Time { return s.time(roundsBucket, lastRound) }

// SetRenewed remembers that the leases of files were renewed. It waits for the disk.
func (s *State) SetRenewed(indexes []share.StorageIndex, at time.Time) error {
	return s.update(func(tx *bolt.Tx) error {
		for _, index := range indexes {
			if err := tx.Bucket(renewedBucket).Put(index[:], seconds(at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetRound remembers that all leases were gone through. It waits for the disk.
func (s *State) SetRound(at time.Time) error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(roundsBucket).Put(lastRound, seconds(at)) })
}

// ForgetRenewed forgets the files whose leases were last renewed before a time.
func (s *State) ForgetRenewed(before time.Time) error {
	return s.update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(renewedBucket)
		var old [][]byte
		err := bucket.ForEach(func(k, v []byte) error {
			if when(v).Before(before) {
				old = append(old, append([]byte(nil), k...))
			}
			return nil
		})
		for _, k := range old {
			if err == nil {
				err = bucket.Delete(k)
			}
		}
		return err
	})
}

func (s *State) update(change func(*bolt.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.db.Update(change); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

func (s *State) time(bucket, key []byte) (at time.Time) {
	err := s.db.View(func(tx *bolt.Tx) error {
		at = when(tx.Bucket(bucket).Get(key))
		return nil
	})
	if err != nil {
		s.log.Warn("what the node remembers of leases cannot be read", "error", err)
	}
	return at
}

func seconds(at time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at.Unix())) }

// when reads a time, the zero time where there is none.
func when(value []byte) time.Time {
	if len(value) != 8 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}
