package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cairn/grid/dir"
	"cairn/node/vfs"
	"cairn/node/vfs/vfstest"
	"cairn/share"
)

// left returns what a process that is killed now leaves of a spool.
func left(t *testing.T, spool string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "spool")
	must(t, os.CopyFS(copied, os.DirFS(spool)))
	return copied
}

// with opens a file system that stores when it is asked to, on a spool.
func (g *grid) with(t *testing.T, spool string) *vfs.FS {
	t.Helper()
	return g.open(t, func(c *vfs.Config) { c.Spool = spool })
}

// TestReplacedBeforeCrash ends the program when the grid has given a stored file the name of one that was closed and is not stored
// yet: the older one does not come back.
func TestReplacedBeforeCrash(t *testing.T) {
	for what, to := range map[string]string{"in one directory": "to", "between two": "sub/to"} {
		t.Run(what, func(t *testing.T) {
			g := newGrid(t)
			spool := t.TempDir()
			f := g.with(t, spool)
			must(t, f.Mkdir(t.Context(), "sub"))
			vfstest.Write(t, f, "from", "newer")
			must(t, f.Sync(t.Context()))
			vfstest.Write(t, f, to, "older")
			var killed []string
			g.dirs.BeforeWrite = func(dir.Write) { killed = append(killed, left(t, spool)) }
			must(t, f.Rename(t.Context(), "from", to))
			g.dirs.BeforeWrite = nil
			for _, spool := range killed[1:] { // the first write stores the older file
				after := g.with(t, spool)
				must(t, after.Sync(t.Context()))
				if got := vfstest.Read(t, after, to); got != "newer" {
					t.Errorf("after a crash %q", got)
				}
			}
			if len(killed) < 2 {
				t.Errorf("%d writes", len(killed))
			}
		})
	}
}

// TestOpenReplacesClosed gives an open file the name of one that was closed: until the open one is closed too, a crash leaves what was.
func TestOpenReplacesClosed(t *testing.T) {
	g := newGrid(t)
	spool := t.TempDir()
	f := g.with(t, spool)
	vfstest.Write(t, f, "file", "closed")
	file, err := f.Open(t.Context(), "file.new", os.O_RDWR|os.O_CREATE)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte("not closed"), 0)
	must(t, err)
	must(t, f.Rename(t.Context(), "file.new", "file"))
	after := g.with(t, left(t, spool))
	must(t, after.Sync(t.Context()))
	if got := vfstest.Read(t, after, "file"); got != "closed" {
		t.Errorf("after a crash %q", got)
	}
	must(t, file.Close())
	must(t, f.Sync(t.Context()))
	if got := vfstest.Read(t, g.open(t, nil), "file"); got != "not closed" {
		t.Errorf("got %q", got)
	}
}

// TestSyncedStays writes to a file in the moment in which a Sync gives it its name: a crash after that Sync leaves what it has stored,
// not what was closed before it.
func TestSyncedStays(t *testing.T) {
	g := newGrid(t)
	spool := t.TempDir()
	f := g.with(t, spool)
	vfstest.Write(t, f, "file", "closed")
	file, err := f.Open(t.Context(), "file", os.O_RDWR)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte("synced"), 0)
	must(t, err)
	g.dirs.BeforeWrite = func(dir.Write) {
		g.dirs.BeforeWrite = nil
		_, err := file.WriteAt(t.Context(), []byte("later!"), 0)
		must(t, err)
	}
	must(t, file.Sync(t.Context()))
	after := g.with(t, left(t, spool))
	must(t, after.Sync(t.Context()))
	if got := vfstest.Read(t, after, "file"); got != "synced" {
		t.Errorf("after a crash %q", got)
	}
	must(t, file.Close())
	must(t, f.Sync(t.Context()))
	if got := vfstest.Read(t, g.open(t, nil), "file"); got != "later!" {
		t.Errorf("got %q", got)
	}
}

// TestRenamedAgain has files that are not stored as they are, of whose names the grid knows one: it has the last one in the end.
func TestRenamedAgain(t *testing.T) {
	for what, names := range map[string]func(t *testing.T, g *grid, f *vfs.FS){
		"over a stored file": func(t *testing.T, _ *grid, f *vfs.FS) {
			vfstest.Write(t, f, "from", "older")
			must(t, f.Sync(t.Context()))
			vfstest.Write(t, f, "new", "file")
			must(t, f.Rename(t.Context(), "new", "from"))
		},
		"stored while it was written to": func(t *testing.T, g *grid, f *vfs.FS) {
			file, err := f.Open(t.Context(), "from", os.O_RDWR|os.O_CREATE)
			must(t, err)
			_, err = file.WriteAt(t.Context(), []byte("past"), 0)
			must(t, err)
			g.dirs.BeforeWrite = func(dir.Write) {
				g.dirs.BeforeWrite = nil
				_, err := file.WriteAt(t.Context(), []byte("file"), 0)
				must(t, err)
			}
			must(t, file.Sync(t.Context()))
			must(t, file.Close())
		},
	} {
		for _, to := range []string{"to", "sub/to"} {
			t.Run(what+" "+to, func(t *testing.T) {
				g := newGrid(t)
				f := g.open(t, nil)
				must(t, f.Mkdir(t.Context(), "sub"))
				names(t, g, f)
				must(t, f.Rename(t.Context(), "from", to))
				must(t, f.Sync(t.Context()))
				for _, f := range []*vfs.FS{f, g.open(t, nil)} {
					if got := vfstest.Read(t, f, to); got != "file" {
						t.Errorf("got %q", got)
					}
					if _, err := f.Stat(t.Context(), "from"); !errors.Is(err, share.ErrNotFound) {
						t.Errorf("the former name: %v", err)
					}
				}
			})
		}
	}
}
