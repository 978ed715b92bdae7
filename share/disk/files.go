package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"cairn/share"
)

// files is what the store asks of the file system below its directory: the place where tests make things fail.
type files interface {
	Open(name string, flag int) (file, error)
	Mkdir(name string) error
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in a directory survive a crash.
	SyncDir(name string) error
	// Free returns the bytes that the file system can still take.
	Free(name string) (int64, error)
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// systemFiles is the file system of the machine.
type systemFiles struct{}

func (systemFiles) Open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (systemFiles) Mkdir(name string) error         { return os.Mkdir(name, 0o700) }
func (systemFiles) Rename(from, to string) error    { return os.Rename(from, to) }
func (systemFiles) Remove(name string) error        { return os.Remove(name) }
func (systemFiles) SyncDir(name string) error       { return syncDir(name) }
func (systemFiles) Free(name string) (int64, error) { return freeBytes(name) }

const (
	openRead   = os.O_RDONLY
	openCreate = os.O_RDWR | os.O_CREATE
	openNew    = os.O_RDWR | os.O_CREATE | os.O_TRUNC
)

// mkdir makes a directory unless it is there, and its name stable.
func mkdir(f files, parent, name string) error {
	err := f.Mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.SyncDir(parent)
	}
	return fail(err)
}

// removeAll removes files that may be absent.
func removeAll(f files, names ...string) error {
	var errs []error
	for _, name := range names {
		if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fail gives an error of the file system its place among the errors of package share.
func fail(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota):
		return fmt.Errorf("%w: %w", share.ErrNoSpace, err)
	case isReadOnly(err):
		return fmt.Errorf("%w: %w", share.ErrReadOnly, err)
	}
	return err
}

// isReadOnly reports whether an error says that a directory cannot be written.
func isReadOnly(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}
