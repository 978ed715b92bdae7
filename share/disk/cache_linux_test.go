package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"cairn/share/disk"
	"cairn/share/storetest"
)

// The memory of a small server is not for shares that somebody stored once.
func TestLargeShareLeavesTheCache(t *testing.T) {
	dir := t.TempDir()
	var fsType unix.Statfs_t
	if err := unix.Statfs(dir, &fsType); err != nil {
		t.Fatal(err)
	}
	if fsType.Type == unix.TMPFS_MAGIC {
		t.Skip("the temporary directory is in memory: set TMPDIR to a directory on a disk")
	}
	store, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const size = 40 << 20
	f := storetest.NewFile(t, 1, 1, 1, 1<<20, size)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatal(err)
	}

	var kept, stored int
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err != nil || info.Size() < size {
			return err
		}
		stored++
		kept += resident(t, path)
		return nil
	})
	if err != nil || stored != 1 {
		t.Fatalf("found %d large files, %v", stored, err)
	}
	if kept > 12<<20 {
		t.Errorf("%d of %d bytes are in memory after they were stored, want about 8 MiB", kept, size)
	}
}

// resident returns how many bytes of a file the page cache holds.
func resident(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	page := os.Getpagesize()
	pages := make([]byte, (len(memory)+page-1)/page)
	_, _, failed := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&memory[0])), uintptr(len(memory)), uintptr(unsafe.Pointer(&pages[0])))
	if failed != 0 {
		t.Fatal(failed)
	}
	n := 0
	for _, p := range pages {
		n += int(p & 1)
	}
	return n * page
}
