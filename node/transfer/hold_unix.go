//go:build unix

package transfer

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// hold locks a file that was just made, for as long as the file that it returns is open; nil where the disk has no locks. It reports whether
// somebody who sweeps the folder was faster.
func hold(disk Disk, name string) (lock *os.File, swept bool) {
	f, err := disk.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, errors.Is(err, fs.ErrNotExist)
	}
	switch err := flock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, true
	case err != nil || !named(disk, name, f):
		f.Close()
		return nil, err == nil
	}
	return f, false
}

// sweepFile removes a file that nobody has locked. What gets its proper name meanwhile is not there any more under this one.
func sweepFile(disk Disk, name string, _ fs.FileInfo) {
	f, err := disk.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f) == nil && named(disk, name, f) {
		_ = disk.Remove(name) // it stays
	}
}

// named reports whether a name is still that of an open file.
func named(disk Disk, name string, f *os.File) bool {
	there, err := disk.Lstat(name)
	if err != nil {
		return false
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(there, open)
}

func flock(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	err = raw.Control(func(fd uintptr) { locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	return errors.Join(err, locked)
}
