// Package boltfile opens small bbolt files so that a damaged one is an error: by itself bbolt panics where a page makes no
// sense, and dies of a fault where a file was cut short.
package boltfile

import (
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrInUse says that another process has the file open.
	ErrInUse = errors.New("used by another process")
	// ErrDamaged says that the file is not what bbolt has written.
	ErrDamaged = errors.New("damaged")
)

// A File is an open bbolt file. It is safe for concurrent use.
type File struct{ db *bolt.DB }

// Open opens a file, which it makes where there is none, with a bucket of each name. It waits for another process that has
// it open for the given time. Besides the system's errors it returns ErrInUse and ErrDamaged; the caller decides whether a
// damaged file is moved aside.
func Open(path string, wait time.Duration, buckets ...[]byte) (*File, error) {
	f := &File{}
	err := guard(func() (err error) {
		f.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: wait, FreelistType: bolt.FreelistMapType})
		return err
	})
	if err == nil {
		err = f.Update(func(tx *bolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		return f, nil
	}
	if f.db != nil {
		err = errors.Join(err, f.db.Close())
	}
	return nil, fmt.Errorf("%s: %w", path, classified(err))
}

// classified says of an error at opening which it is. What the system does not say is damage: bbolt has no common error for it.
func classified(err error) error {
	var system syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrInUse
	case errors.As(err, &system), errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// View reads. It returns what the function returns, or ErrDamaged.
func (f *File) View(read func(*bolt.Tx) error) error {
	return guard(func() error { return f.db.View(read) })
}

// Update reads and writes in one step, which is on stable storage when it returns nil. An error undoes everything.
func (f *File) Update(write func(*bolt.Tx) error) error {
	return guard(func() error { return f.db.Update(write) })
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// guard turns panics and faults into ErrDamaged.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return f()
}
