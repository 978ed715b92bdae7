//go:build !unix

package transfer

import (
	"io/fs"
	"os"
	"time"
)

// fileAge is how long a file that nobody writes to is left alone.
const fileAge = time.Hour

// hold locks nothing: age decides here.
func hold(Disk, string) (*os.File, bool) { return nil, false }

// sweepFile removes a file to which nobody has written for long.
func sweepFile(disk Disk, name string, info fs.FileInfo) {
	if time.Since(info.ModTime()) > fileAge {
		_ = disk.Remove(name) // it stays
	}
}
