package vfstest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/node/vfs"
	"cairn/share"
)

// testCrash ends a file system without a word, as kill -9 does: what was closed is there afterwards, what was not is as before.
func testCrash(t *testing.T, g *place) {
	spool := t.TempDir()
	f := g.open(t, func(c *vfs.Config) { c.Spool = spool })
	Write(t, f, "over", "before")
	must(t, f.Sync(t.Context()))
	Write(t, f, "closed", "closed")
	file, err := f.Open(t.Context(), "over", os.O_RDWR)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte("AFTER"), 1)
	must(t, err)
	must(t, file.Close())
	open, err := f.Open(t.Context(), "open", os.O_RDWR|os.O_CREATE)
	must(t, err)
	_, err = open.WriteAt(t.Context(), []byte("never closed"), 0)
	must(t, err)
	copied := t.TempDir() // what a killed process leaves
	must(t, os.CopyFS(filepath.Join(copied, "spool"), os.DirFS(spool)))
	must(t, open.Close())

	after := g.open(t, func(c *vfs.Config) { c.Spool = filepath.Join(copied, "spool") })
	must(t, after.Sync(t.Context()))
	for path, want := range map[string]string{"closed": "closed", "over": "bAFTER"} {
		if got := Read(t, after, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if _, err := after.Stat(t.Context(), "open"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("a file that was never closed: %v", err)
	}
	must(t, after.Close(t.Context()))
	if left, err := os.ReadDir(filepath.Join(copied, "spool")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

// killed returns what a killed process leaves of a spool.
func killed(t *testing.T, spool string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "spool")
	must(t, os.CopyFS(copied, os.DirFS(spool)))
	return copied
}

// A later change is one of a file that was closed and is not stored yet.
type later struct {
	change func(t *testing.T, f *vfs.FS) *vfs.File
	want   string            // of the file
	names  map[string]string // of others
}

// laterChanges returns changes of a file with these contents. None of them is closed in the end, and all names are acknowledged.
func laterChanges(long string) map[string]later {
	return map[string]later{
		"over":     {func(t *testing.T, f *vfs.FS) *vfs.File { return over(t, f, os.O_RDWR, "NEW", 5) }, long, nil},
		"replaced": {func(t *testing.T, f *vfs.FS) *vfs.File { return over(t, f, os.O_RDWR|os.O_TRUNC, "NEW", 0) }, long, nil},
		"behind":   {func(t *testing.T, f *vfs.FS) *vfs.File { return over(t, f, os.O_RDWR|os.O_APPEND, "NEW", 0) }, long, nil},
		"replaced and closed": {func(t *testing.T, f *vfs.FS) *vfs.File {
			must(t, over(t, f, os.O_RDWR|os.O_TRUNC, "new", 0).Close())
			return over(t, f, os.O_RDWR, "NEWER", 1)
		}, "new", nil},
		"cut and closed": {func(t *testing.T, f *vfs.FS) *vfs.File {
			must(t, f.Truncate(t.Context(), "file", 5000))
			return over(t, f, os.O_RDWR|os.O_TRUNC, "NEW", 0)
		}, long[:5000], nil},
		"renamed while open": {func(t *testing.T, f *vfs.FS) *vfs.File {
			file := over(t, f, os.O_RDWR, "NEW", 5)
			must(t, f.Rename(t.Context(), "file", "sub/renamed"))
			return file
		}, "", map[string]string{"sub/renamed": long}},
		"renamed over a file": {func(t *testing.T, f *vfs.FS) *vfs.File {
			Write(t, f, "other", "other")
			must(t, f.Rename(t.Context(), "file", "other"))
			return nil
		}, "", map[string]string{"other": long}},
		"renamed over an open file": {func(t *testing.T, f *vfs.FS) *vfs.File {
			Write(t, f, "other", "other")
			file, err := f.Open(t.Context(), "other", os.O_RDWR)
			must(t, err)
			must(t, f.Rename(t.Context(), "file", "other"))
			_, err = file.WriteAt(t.Context(), []byte("O"), 0)
			must(t, err)
			return file
		}, "", map[string]string{"other": long}},
		"removed while open": {func(t *testing.T, f *vfs.FS) *vfs.File {
			file := over(t, f, os.O_RDWR, "NEW", 5)
			must(t, f.Remove(t.Context(), "file"))
			return file
		}, "", nil},
		"removed while read": {func(t *testing.T, f *vfs.FS) *vfs.File {
			file, err := f.Open(t.Context(), "file", os.O_RDONLY)
			must(t, err)
			must(t, f.Remove(t.Context(), "file"))
			return file
		}, "", nil},
	}
}

// testCrashLater ends a file system while files are changed again that were closed before and are not stored yet: what was closed
// holds until the next Close, and names are where they were acknowledged to be.
func testCrashLater(t *testing.T, g *place) {
	long := strings.Repeat("all that was closed ", 20_000)
	for what, c := range laterChanges(long) {
		t.Run(what, func(t *testing.T) {
			g := g.fresh(t)
			spool := t.TempDir()
			f := g.open(t, func(c *vfs.Config) { c.Spool = spool })
			must(t, f.Mkdir(t.Context(), "sub"))
			Write(t, f, "file", long)
			file := c.change(t, f)
			left := killed(t, spool)
			if file != nil {
				must(t, file.Close())
			}
			after := g.open(t, func(c *vfs.Config) { c.Spool = left })
			must(t, after.Sync(t.Context()))
			wantFile(t, after, "file", c.want)
			for name, want := range c.names {
				wantFile(t, after, name, want)
			}
			must(t, after.Close(t.Context()))
			if more, err := os.ReadDir(left); err != nil || len(more) > 0 {
				t.Errorf("left in the spool: %v, %v", more, err)
			}
		})
	}
}

// over opens a file and writes into it.
func over(t *testing.T, f *vfs.FS, flag int, data string, off int64) *vfs.File {
	t.Helper()
	file, err := f.Open(t.Context(), "file", flag)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte(data), off)
	must(t, err)
	return file
}

// wantFile wants a file with these contents, or none where they are empty.
func wantFile(t *testing.T, f *vfs.FS, name, want string) {
	t.Helper()
	_, err := f.Stat(t.Context(), name)
	if want == "" || err != nil {
		if want != "" || !errors.Is(err, share.ErrNotFound) {
			t.Errorf("%s: %v, want %d bytes", name, err, len(want))
		}
		return
	}
	if got := Read(t, f, name); got != want {
		t.Errorf("%s has %d bytes %.20q, want %d bytes %.20q", name, len(got), got, len(want), want)
	}
}

// testSealed looks for what was written, its name and its capabilities in the spool.
func testSealed(t *testing.T, g *place) {
	spool := t.TempDir()
	f := g.open(t, func(c *vfs.Config) { c.Spool = spool })
	Write(t, f, "the name of it", "before")
	must(t, f.Sync(t.Context()))
	secret := strings.Repeat("what nobody else is to read ", 1000)
	Write(t, f, "the name of it", secret)
	over, err := f.Open(t.Context(), "the name of it", os.O_RDWR)
	must(t, err)
	_, err = over.WriteAt(t.Context(), []byte("and this even less"), 4090)
	must(t, err)
	left := killed(t, spool)
	must(t, over.Close())
	words := []string{"nobody else", "even less", "the name", "cairn:", g.Root.Text()}
	files := 0
	must(t, fs.WalkDir(os.DirFS(left), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(filepath.Join(left, name))
		for _, word := range words {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s has %q in clear", name, word)
			}
		}
		return err
	}))
	if files != 3 { // what is being written, what was closed, and its record
		t.Errorf("%d files in the spool", files)
	}
	other := g.Config
	other.Spool, other.SpoolKey[7] = killed(t, left), other.SpoolKey[7]+1
	if f, err := vfs.New(other); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("opened with another key: %v, %v", f, err)
	}
}
