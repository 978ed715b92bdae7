package transfer

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A Disk is what a Temporary needs of a disk. An *os.Root is one.
type Disk interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Lstat(name string) (fs.FileInfo, error)
	Symlink(target, name string) error
	Chtimes(name string, accessed, modified time.Time) error
	Rename(from, to string) error
	Remove(name string) error
}

// Paths is the disk by paths as the system reads them.
type Paths struct{}

var (
	_ Disk = Paths{}
	_ Disk = (*os.Root)(nil)
)

// OpenFile is os.OpenFile.
func (Paths) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// Lstat is os.Lstat.
func (Paths) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// Symlink is os.Symlink.
func (Paths) Symlink(target, name string) error { return os.Symlink(target, name) }

// Chtimes is os.Chtimes.
func (Paths) Chtimes(name string, accessed, modified time.Time) error {
	return os.Chtimes(name, accessed, modified)
}

// Rename is os.Rename.
func (Paths) Rename(from, to string) error { return os.Rename(from, to) }

// Remove is os.Remove.
func (Paths) Remove(name string) error { return os.Remove(name) }

// temporaryPrefix begins the names of files that are not complete.
const temporaryPrefix = ".cairn-"

// temporaryNames matches the names of files that are not complete, and of those that find out about the disk.
var temporaryNames = regexp.MustCompile(`^\.cairn-([A-Z2-7]{26}|a[a-z2-7]{26})$`)

// linkAge is how long a symbolic link that has no proper name yet is left alone: it gets one at once.
const linkAge = time.Minute

// A Temporary is a file on disk that gets its name when it is complete. Until then it has another one beside it, and is locked, so
// that Sweep tells it from what a program left behind that was killed. Its errors name the file that it becomes.
type Temporary struct {
	file *os.File
	disk Disk
	name string   // until it is complete
	path string   // what it becomes
	lock *os.File // of the file; nil where this system or disk has none
}

// NewTemporary makes the file that becomes the one at a path. It ends with Commit or Discard.
func NewTemporary(disk Disk, path string, mode fs.FileMode) (*Temporary, error) {
	for {
		t := &Temporary{disk: disk, name: temporaryName(path), path: path}
		var err error
		if t.file, err = disk.OpenFile(t.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err != nil {
			return nil, t.about(err)
		}
		var swept bool
		if t.lock, swept = hold(disk, t.name); !swept {
			return t, nil
		}
		t.Discard()
	}
}

// temporaryName returns a new name beside a path. It says nothing of the one there, which may be as long as names can be.
func temporaryName(path string) string {
	return filepath.Join(filepath.Dir(path), temporaryPrefix+rand.Text())
}

// Write writes what comes next.
func (t *Temporary) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	return n, t.about(err)
}

// Chmod sets the permission that the file has when it is complete.
func (t *Temporary) Chmod(mode fs.FileMode) error { return t.about(t.file.Chmod(mode)) }

// about says that an error is one of the file that was asked for.
func (t *Temporary) about(err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "write", Path: t.path, Err: cause(err)}
}

// Commit gives the file its name, in the place of what has it, and its time of modification unless that is zero.
func (t *Temporary) Commit(modified time.Time) error {
	err := t.file.Close()
	if err == nil && !modified.IsZero() {
		err = t.disk.Chtimes(t.name, modified, modified)
	}
	if err == nil {
		err = t.disk.Rename(t.name, t.path)
	}
	if err != nil {
		t.Discard()
		return t.about(err)
	}
	t.release()
	return nil
}

// Discard removes the file.
func (t *Temporary) Discard() {
	// Why the file is not wanted is told by who knows it; that this fails as well adds nothing.
	_ = t.file.Close()
	_ = t.disk.Remove(t.name)
	t.release()
}

func (t *Temporary) release() {
	if t.lock != nil {
		t.lock.Close()
		t.lock = nil
	}
}

// PutLink makes a symbolic link at a path, in the place of what is there unless that is a folder.
func PutLink(disk Disk, target, path string) error {
	t := &Temporary{disk: disk, name: temporaryName(path), path: path}
	err := disk.Symlink(target, t.name)
	if err != nil {
		return t.about(err)
	}
	if err = disk.Rename(t.name, path); err != nil {
		_ = disk.Remove(t.name) // the cause is told
	}
	return t.about(err)
}

// sweepNames is how many names of a folder are read at a time.
const sweepNames = 1000

// Sweep removes from a folder what programs like this one left there when they were killed: files that never became complete. What
// cannot be removed stays.
func Sweep(disk Disk, folder string) {
	f, err := disk.OpenFile(folder, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(sweepNames)
		for _, name := range names {
			if temporaryNames.MatchString(name) {
				sweep(disk, filepath.Join(folder, name))
			}
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

func sweep(disk Disk, name string) {
	info, err := disk.Lstat(name)
	if err != nil {
		return
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0 && time.Since(info.ModTime()) > linkAge:
		_ = disk.Remove(name) // it stays
	case mode.IsRegular():
		sweepFile(disk, name, info)
	}
}

// fill writes a Temporary, and gives it its name where that succeeds.
func (t *Temporary) fill(modified time.Time, write func(io.Writer) error) error {
	if err := write(t); err != nil {
		t.Discard()
		return err
	}
	return t.Commit(modified)
}

// cause strips the operation and the path, which whoever tells the error says anyway.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	return err
}
