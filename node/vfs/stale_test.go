package vfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/node/vfs"
	"cairn/node/vfs/vfstest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// slowDirs answer late: after the function was called, once.
type slowDirs struct {
	*dirtest.Memory
	read *func()
}

func (s slowDirs) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	content, err := s.Memory.Read(ctx, c)
	if late := *s.read; late != nil {
		*s.read = nil
		late()
	}
	return content, err
}

// TestOvertaken stores a file while an answer about its directory is on the way: what was closed before is seen all the same.
func TestOvertaken(t *testing.T) {
	for what, look := range map[string]func(t *testing.T, f *vfs.FS) string{
		"open": func(t *testing.T, f *vfs.FS) string { return vfstest.Read(t, f, "file") },
		"stat": func(t *testing.T, f *vfs.FS) string {
			i, err := f.Stat(t.Context(), "file")
			must(t, err)
			return "newer"[:i.Size]
		},
		"list": func(t *testing.T, f *vfs.FS) string {
			i, err := f.ReadDir(t.Context(), "", "", 0)
			must(t, err)
			return "newer"[:i[0].Size]
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := newGrid(t)
			var late func()
			slow := slowDirs{g.dirs, &late}
			f := g.open(t, func(c *vfs.Config) {
				c.FreshFor = -1
				c.Dirs = dir.New(dir.Config{Files: slow, Pages: g.dirs, Secret: keys.ConvergenceSecret{1}})
			})
			vfstest.Write(t, f, "file", "old")
			must(t, f.Sync(t.Context()))
			vfstest.Write(t, f, "file", "newer")
			late = func() { must(t, f.Sync(t.Context())) }
			if got := look(t, f); got != "newer" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestStoredMeanwhile stores a file while somebody else begins to change it: the change is one of what was stored.
func TestStoredMeanwhile(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	vfstest.Write(t, f, "file", "AAAAAAAA")
	must(t, f.Sync(t.Context()))
	one, err := f.Open(t.Context(), "file", os.O_RDWR)
	must(t, err)
	other, err := f.Open(t.Context(), "file", os.O_RDWR)
	must(t, err)
	g.opened = func() {
		_, err := other.WriteAt(t.Context(), []byte("B"), 8)
		must(t, err)
		must(t, other.Sync(t.Context()))
	}
	_, err = one.WriteAt(t.Context(), []byte("x"), 0)
	must(t, err)
	if got := vfstest.ReadAll(t, one); got != "xAAAAAAAB" {
		t.Errorf("got %q", got)
	}
	must(t, errors.Join(one.Close(), other.Close()))
}

// TestMadeByReader makes a file with a handle that only reads: it is closed like any other, and refused where nothing can be made.
func TestMadeByReader(t *testing.T) {
	g := newGrid(t)
	spool := filepath.Join(t.TempDir(), "[a]*") // no pattern
	f := g.with(t, spool)
	file, err := f.Open(t.Context(), "file", os.O_RDONLY|os.O_CREATE)
	must(t, err)
	must(t, file.Close())
	must(t, os.WriteFile(filepath.Join(spool, ".X.record-1"), nil, 0o600)) // of a record that was being written
	copied := left(t, spool)
	after := g.with(t, copied)
	must(t, after.Sync(t.Context()))
	if got := vfstest.Read(t, after, "file"); got != "" {
		t.Errorf("got %q", got)
	}
	if names, err := os.ReadDir(copied); err != nil || len(names) > 0 {
		t.Errorf("left in the spool: %v, %v", names, err)
	}
	g.root, _ = g.root.Read()
	if _, err := g.open(t, nil).Open(t.Context(), "new", os.O_RDONLY|os.O_CREATE); !errors.Is(err, capability.ErrAuthority) {
		t.Errorf("made where nothing can be made: %v", err)
	}
}

// TestTimeOfAnOpenFile is set on the file that is open, whatever has the name by now under which it was opened.
func TestTimeOfAnOpenFile(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "a"))
	vfstest.Write(t, f, "a/file", "x")
	must(t, f.Sync(t.Context()))
	file, err := f.Open(t.Context(), "a/file", os.O_RDWR)
	must(t, err)
	must(t, f.Rename(t.Context(), "a", "b"))
	must(t, f.Mkdir(t.Context(), "a"))
	vfstest.Write(t, f, "a/file", "another")
	must(t, f.Sync(t.Context()))
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	must(t, file.SetModified(t.Context(), when))
	for path, want := range map[string]bool{"a/file": false, "b/file": true} {
		if i, err := g.open(t, nil).Stat(t.Context(), path); err != nil || i.Modified.Equal(when) != want {
			t.Errorf("%s is of %v, %v", path, i.Modified, err)
		}
	}
	must(t, f.Remove(t.Context(), "b/file"))
	must(t, file.SetModified(t.Context(), when)) // of a file without a name
	must(t, file.Close())
}

// TestEdges are writes that change nothing: of nothing, and beyond what a file can have.
func TestEdges(t *testing.T) {
	f := newGrid(t).open(t, nil)
	file, err := f.Open(t.Context(), "file", os.O_RDWR|os.O_CREATE)
	must(t, err)
	_, err = file.WriteAt(t.Context(), nil, 100)
	must(t, err)
	for _, off := range []int64{encoding.MaxSize, 1<<63 - 1} {
		if n, err := file.WriteAt(t.Context(), []byte("x"), off); n != 0 || !errors.Is(err, share.ErrTooLarge) {
			t.Errorf("at %d: wrote %d bytes, %v", off, n, err)
		}
	}
	if err := file.Truncate(t.Context(), encoding.MaxSize+1); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("truncate: %v", err)
	}
	if size := file.Info().Size; size != 0 {
		t.Errorf("%d bytes", size)
	}
	must(t, file.Close())
}
