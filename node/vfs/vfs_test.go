package vfs_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/node/vfs"
	"cairn/node/vfs/vfstest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// TestConformance runs the suite on a grid in memory.
func TestConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.Config {
		g := newGrid(t)
		return vfs.Config{Dirs: g.dirs.Dirs(), Files: g, Root: g.root}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A grid keeps files and directories in memory. It can be told to fail, and counts.
type grid struct {
	dirs *dirtest.Memory
	root capability.Capability

	mu      sync.Mutex
	files   map[string][]byte
	fail    error
	puts    int
	batches int
	read    int64
	opened  func()                          // called once when a file is opened, before the answer is there
	before  func()                          // called before a file is stored, half-way where it is overwritten
	hang    func(ctx context.Context) error // called instead of it, if it is not nil, where the file is not small
}

func newGrid(t *testing.T) *grid {
	t.Helper()
	memory := dirtest.New()
	root, err := memory.Dirs().Create(t.Context(), func(func(dir.Entry, error) bool) {})
	must(t, err)
	return &grid{dirs: memory, root: root, files: map[string][]byte{}}
}

type reader struct {
	g    *grid
	data []byte
}

func (r reader) Size() int64  { return int64(len(r.data)) }
func (r reader) Close() error { return nil }
func (r reader) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := copy(p, r.data[min(off, r.Size()):])
	r.g.mu.Lock()
	r.g.read += int64(n)
	r.g.mu.Unlock()
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (g *grid) Open(_ context.Context, c capability.Capability) (vfs.Reader, error) {
	if opened := g.opened; opened != nil {
		g.opened = nil
		defer opened()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	data, ok := g.files[c.Text()]
	if !ok {
		return nil, share.ErrNotFound
	}
	return reader{g, data}, nil
}

func (g *grid) put(data []byte) (capability.Capability, error) {
	if before := g.before; before != nil {
		before()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return capability.Capability{}, g.fail
	}
	g.puts++
	sum := sha256.Sum256(data)
	c := capability.File(sum, keys.ReadKey(sum[:16]))
	g.files[c.Text()] = data
	return c, nil
}

func (g *grid) Put(ctx context.Context, file io.ReadSeeker, size int64) (capability.Capability, error) {
	if g.hang != nil {
		return capability.Capability{}, g.hang(ctx)
	}
	data, err := io.ReadAll(file)
	if err != nil || int64(len(data)) != size {
		return capability.Capability{}, fmt.Errorf("read %d of %d bytes: %w", len(data), size, err)
	}
	return g.put(data)
}

func (g *grid) PutSmall(_ context.Context, files [][]byte) ([]capability.Capability, error) {
	g.mu.Lock()
	g.batches++
	g.mu.Unlock()
	caps := make([]capability.Capability, len(files))
	for i, data := range files {
		var err error
		if caps[i], err = g.put(data); err != nil {
			return nil, err
		}
	}
	return caps, nil
}

func (g *grid) Overwrite(_ context.Context, c capability.Capability, file io.ReadSeeker, size int64) error {
	data := make([]byte, size/2)
	_, err := io.ReadFull(file, data)
	if g.before != nil {
		g.before()
	}
	if err == nil {
		var rest []byte
		rest, err = io.ReadAll(file)
		data = append(data, rest...)
	}
	if err != nil || int64(len(data)) != size {
		return fmt.Errorf("read %d of %d bytes: %w", len(data), size, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files[c.Text()] = data
	return g.fail
}

func (g *grid) set(fail error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = fail
}

// open starts a file system on the grid; a nil change takes a spool of its own and stores only when it is asked to.
func (g *grid) open(t *testing.T, change func(*vfs.Config)) *vfs.FS {
	t.Helper()
	c := vfs.Config{Dirs: g.dirs.Dirs(), Files: g, Root: g.root, Spool: t.TempDir(), WriteAfter: time.Hour}
	if change != nil {
		change(&c)
	}
	f, err := vfs.New(c)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = f.Close(ctx) // the tests that care have closed it
	})
	return f
}

// TestManySmallFiles are stored in few exchanges and one version of their directory.
func TestManySmallFiles(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	for i := range 500 {
		vfstest.Write(t, f, fmt.Sprintf("%03d", i), fmt.Sprint("file ", i))
	}
	g.dirs.Reset()
	must(t, f.Sync(t.Context()))
	if moved := g.dirs.Reset(); g.batches > 3 || moved.Writes > 2 {
		t.Errorf("%d batches and %+v for 500 files", g.batches, moved)
	}
	if got := vfstest.Read(t, g.open(t, nil), "499"); got != "file 499" {
		t.Errorf("got %q", got)
	}
}

// TestFailure keeps what cannot be stored, says so, and stores it when that is possible.
func TestFailure(t *testing.T) {
	g := newGrid(t)
	told := make(chan error, 100)
	f := g.open(t, func(c *vfs.Config) {
		c.WriteAfter = time.Millisecond
		c.Failed = func(_ string, err error) { told <- err }
	})
	full := fmt.Errorf("the grid is full: %w", share.ErrNoSpace)
	g.set(full)
	vfstest.Write(t, f, "file", "x")
	if err := <-told; !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("told of %v", err)
	}
	if err := f.Sync(t.Context()); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("sync: %v", err)
	}
	if got := vfstest.Read(t, f, "file"); got != "x" {
		t.Errorf("got %q", got)
	}
	g.set(nil)
	must(t, f.Sync(t.Context()))
	if got := vfstest.Read(t, g.open(t, nil), "file"); got != "x" {
		t.Errorf("got %q", got)
	}
}

// TestSpoolIsBounded makes a writer wait while the spool is full, and lets it go on when there is room.
func TestSpoolIsBounded(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, func(c *vfs.Config) { c.MaxDirty = 1000 })
	vfstest.Write(t, f, "a", string(make([]byte, 900)))
	file, err := f.Open(t.Context(), "b", os.O_WRONLY|os.O_CREATE)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := file.WriteAt(ctx, make([]byte, 200), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beyond the bound: %v", err)
	}
	wrote := make(chan error)
	go func() {
		_, err := file.WriteAt(t.Context(), make([]byte, 200), 0)
		wrote <- err
	}()
	must(t, f.Sync(t.Context()))
	must(t, <-wrote)
	for range 50 { // writing the same bytes again takes no more room
		_, err := file.WriteAt(t.Context(), make([]byte, 200), 0)
		must(t, err)
	}
	must(t, file.Close())
}

// TestReadAhead reads from one end to the other in small pieces: every block is fetched once.
func TestReadAhead(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	const size = 3<<20 + 7
	vfstest.Write(t, f, "file", string(make([]byte, size)))
	must(t, f.Sync(t.Context()))
	g.read = 0
	file, err := f.Open(t.Context(), "file", os.O_RDONLY)
	must(t, err)
	p := make([]byte, 10_000)
	var total int64
	for {
		n, err := file.ReadAt(t.Context(), p, total)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
	}
	must(t, file.Close())
	must(t, f.Close(t.Context()))
	if total != size || g.read != size {
		t.Errorf("read %d bytes, %d fetched, want %d", total, g.read, size)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
