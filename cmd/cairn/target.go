package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A target is where a file is written to. A regular file appears when all of it is there.
type target struct {
	w    io.Writer
	file *os.File // nil for standard output
	path string   // what the file becomes; empty when it is written in place
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
	// The name says nothing of that of the file, which may be as long as names can be.
	file, err := os.CreateTemp(filepath.Dir(path), ".cairn-*")
	return &target{w: file, file: file, path: path}, err
}

// end closes the target. Without an error the file gets its name, otherwise nothing of it is left.
func (t *target) end(err error) error {
	if t.file == nil {
		return err
	}
	if t.path == "" {
		return errors.Join(err, t.file.Close())
	}
	if err == nil {
		err = t.file.Chmod(filePermission(t.path))
	}
	if err = errors.Join(err, t.file.Close()); err == nil {
		err = os.Rename(t.file.Name(), t.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.file.Name()))
	}
	return nil
}

// filePermission returns the permission of the file that is replaced, or that of a new one.
func filePermission(path string) os.FileMode {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		return info.Mode().Perm()
	}
	return 0o666 &^ umask()
}
