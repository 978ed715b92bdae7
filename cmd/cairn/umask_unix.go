//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// umask returns the permissions that new files do not get. The system tells it only to who sets it.
func umask() fs.FileMode {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return fs.FileMode(mask)
}
