package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cairn/node/transfer"
)

// A target is where a file is written to. A regular file appears when all of it is there.
type target struct {
	w         io.Writer
	file      *os.File            // that is written in place; nil for others
	temporary *transfer.Temporary // what becomes the file; nil for others
	path      string              // of the temporary file when it is complete
}

// newTarget prepares to write to a path. Something that cannot be replaced, such as a device or a pipe, is written to
// in place. A link is followed, unless the path is inside of the folder that a person named: then it is replaced.
func newTarget(path string, inside bool) (*target, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil && !inside {
		path = real
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
	case err == nil && info.IsDir():
		return nil, usagef("%s is a directory: name a file in it", path)
	case err == nil && !info.Mode().IsRegular():
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &target{w: file, file: file}, err
	}
	transfer.Sweep(transfer.Paths{}, filepath.Dir(path))
	file, err := transfer.NewTemporary(transfer.Paths{}, path, 0o600)
	return &target{w: file, temporary: file, path: path}, err
}

// end closes the target. Without an error the file gets its name, otherwise nothing of it is left.
func (t *target) end(err error) error {
	switch {
	case t.file != nil:
		return errors.Join(err, t.file.Close())
	case t.temporary == nil:
		return err
	}
	if err == nil {
		err = t.temporary.Chmod(filePermission(t.path))
	}
	if err != nil {
		t.temporary.Discard()
		return err
	}
	return t.temporary.Commit(time.Time{})
}

// filePermission returns the permission of the file that is replaced, or that of a new one.
func filePermission(path string) os.FileMode {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		return info.Mode().Perm()
	}
	return 0o666 &^ umask()
}
