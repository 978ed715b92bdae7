package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks the kernel to begin writing a range to the disk, without waiting for it. It makes nothing stable; it only
// leaves less for the next sync to do. What it fails to do, the sync does.
func startWriteback(f file, off, n int64) {
	if f, ok := f.(*os.File); ok {
		_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// dropCache asks the kernel to forget what it keeps in memory of a range and has written to the disk already; the range goes
// to the end of the file where n is 0. What is not written yet stays.
func dropCache(f file, off, n int64) {
	if f, ok := f.(*os.File); ok {
		_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
	}
}
