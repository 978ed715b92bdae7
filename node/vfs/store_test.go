package vfs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/dir"
	"cairn/node/vfs"
	"cairn/node/vfs/vfstest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// large is more than a file that is stored together with others has.
var large = strings.Repeat("large", 20_000)

// TestCloseInTime ends with its context while the grid takes a file in the background and does not get on.
func TestCloseInTime(t *testing.T) {
	g := newGrid(t)
	began := make(chan struct{}, 1)
	g.hang = func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	f := g.open(t, func(c *vfs.Config) { c.WriteAfter = time.Millisecond })
	vfstest.Write(t, f, "file", large)
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed: %v", err)
	}
}

// TestSmallBesideLarge stores small files while a large one takes its time, whether it was closed before or is closed later.
func TestSmallBesideLarge(t *testing.T) {
	g := newGrid(t)
	began := make(chan struct{}, 1)
	g.hang = func(ctx context.Context) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	f := g.open(t, func(c *vfs.Config) { c.WriteAfter = time.Millisecond })
	open, err := f.Open(t.Context(), "small", os.O_RDWR|os.O_CREATE)
	must(t, err)
	vfstest.Write(t, f, "large", large)
	<-began
	must(t, open.Sync(t.Context()))
	must(t, open.Close())
	named := make(chan struct{}, 1)
	g.dirs.BeforeWrite = func(dir.Write) { named <- struct{}{} }
	vfstest.Write(t, f, "later", "in the background")
	<-named
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed: %v", err)
	}
}

// TestWaitsForItsTurn has a file due that somebody stores already: nothing is done meanwhile, or the clock here would not go on.
func TestWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t)
		f := g.open(t, func(c *vfs.Config) { c.WriteAfter = time.Second })
		g.before = func() { time.Sleep(time.Hour) }
		vfstest.Write(t, f, "file", "x")
		must(t, f.Sync(t.Context()))
		if g.puts != 1 {
			t.Errorf("stored %d times", g.puts)
		}
		must(t, f.Close(t.Context()))
	})
}

// TestSyncTellsOnce asks a grid that takes nothing once for each file, and names some of them in the error.
func TestSyncTellsOnce(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	for i := range 30 {
		vfstest.Write(t, f, fmt.Sprint(i), fmt.Sprint("file ", i))
	}
	g.set(fmt.Errorf("the grid is full: %w", share.ErrNoSpace))
	err := f.Sync(t.Context())
	if !errors.Is(err, share.ErrNoSpace) || g.batches > 1 {
		t.Errorf("%d batches, %v", g.batches, err)
	}
	var path *fs.PathError
	if lines := strings.Split(err.Error(), "\n"); !errors.As(err, &path) || len(lines) != 11 || !strings.HasPrefix(lines[10], "and 20 more") {
		t.Errorf("the error is %v", err)
	}
	g.set(nil)
	must(t, f.Sync(t.Context()))
}

// TestGivenUp tells nobody that a file could not be stored because who asked for it did not wait.
func TestGivenUp(t *testing.T) {
	g := newGrid(t)
	ctx, cancel := context.WithCancel(t.Context())
	g.hang = func(context.Context) error {
		cancel()
		return ctx.Err()
	}
	f := g.open(t, func(c *vfs.Config) { c.Failed = func(path string, err error) { t.Errorf("told of %s: %v", path, err) } })
	vfstest.Write(t, f, "file", large)
	if err := f.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("sync: %v", err)
	}
	g.hang = nil
	must(t, f.Close(t.Context()))
}

// TestToldWithoutLocks lets who is told of a failure look at the file.
func TestToldWithoutLocks(t *testing.T) {
	g := newGrid(t)
	var f *vfs.FS
	told := 0
	f = g.open(t, func(c *vfs.Config) {
		c.Failed = func(path string, _ error) {
			_, err := f.Stat(t.Context(), path)
			must(t, err)
			told++
		}
	})
	vfstest.Write(t, f, "file", "x")
	g.set(share.ErrNoSpace)
	if err := f.Sync(t.Context()); err == nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	g.set(nil)
}

// TestNoMixture writes to a mutable file while it is stored: what is stored is what it was at one time.
func TestNoMixture(t *testing.T) {
	g := newGrid(t)
	c := capability.Mutable(keys.NewWriteKey())
	_, err := g.dirs.Dirs().Update(t.Context(), g.root, func(e *dir.Editor) error { return e.Set(dir.Entry{Name: "file", Capability: c}) })
	must(t, err)
	g.files[c.Text()] = []byte("AAAA")
	f := g.open(t, nil)
	file, err := f.Open(t.Context(), "file", os.O_RDWR)
	must(t, err)
	write := func(data string) {
		_, err := file.WriteAt(t.Context(), []byte(data), 0)
		must(t, err)
	}
	write("BBBB")
	g.before = func() {
		g.before = func() {
			if got := string(g.files[c.Text()]); got != "AAAA" {
				t.Errorf("stored %q", got)
			}
		}
		write("CCCC")
	}
	must(t, file.Sync(t.Context()))
	if got := string(g.files[c.Text()]); got != "CCCC" {
		t.Errorf("stored %q", got)
	}
	must(t, file.Close())
}
