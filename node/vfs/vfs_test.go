package vfs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/node/vfs"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

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
	before  func() // called before a file is stored
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

func (g *grid) Put(_ context.Context, file io.ReadSeeker, size int64) (capability.Capability, error) {
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
	data, err := io.ReadAll(file)
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, f *vfs.FS, path, data string) {
	t.Helper()
	file, err := f.Open(t.Context(), path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte(data), 0)
	must(t, err)
	must(t, file.Close())
}

func read(t *testing.T, f *vfs.FS, path string) string {
	t.Helper()
	file, err := f.Open(t.Context(), path, os.O_RDONLY)
	must(t, err)
	defer file.Close()
	return readAll(t, file)
}

func readAll(t *testing.T, file *vfs.File) string {
	t.Helper()
	data := make([]byte, file.Info().Size+1)
	n, err := file.ReadAt(t.Context(), data, 0)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes of %d: %v", n, len(data)-1, err)
	}
	return string(data[:n])
}

func names(t *testing.T, f *vfs.FS, path string) string {
	t.Helper()
	infos, err := f.ReadDir(t.Context(), path, "", 0)
	must(t, err)
	var b bytes.Buffer
	for _, i := range infos {
		fmt.Fprintf(&b, "%s:%d ", i.Name, i.Size)
	}
	return b.String()
}

func TestStoredAndReadByAnother(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "docs"))
	write(t, f, "docs/a", "hello")
	if got := read(t, f, "docs/a"); got != "hello" {
		t.Errorf("before it is stored: %q", got)
	}
	other := g.open(t, nil)
	if got := names(t, other, "docs"); got != "" {
		t.Errorf("another sees %q before it is stored", got)
	}
	must(t, f.Sync(t.Context()))
	third := g.open(t, nil)
	if got := read(t, third, "docs/a"); got != "hello" || names(t, third, "docs") != "a:5 " {
		t.Errorf("another reads %q, sees %q", got, names(t, third, "docs"))
	}
	if f.Dirty() != 0 {
		t.Errorf("%d bytes are dirty after Sync", f.Dirty())
	}
}

// TestOverStored writes into the middle of a large stored file, beyond its end, and cuts it.
func TestOverStored(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	want := bytes.Repeat([]byte("0123456789abcdef"), 100<<10)
	write(t, f, "big", string(want))
	must(t, f.Sync(t.Context()))
	file, err := f.Open(t.Context(), "big", os.O_RDWR)
	must(t, err)
	for _, at := range []int64{5, 300 << 10, int64(len(want)) - 2} {
		_, err := file.WriteAt(t.Context(), []byte("XYZ"), at)
		must(t, err)
		if grown := at + 3 - int64(len(want)); grown > 0 {
			want = append(want, make([]byte, grown)...)
		}
		copy(want[at:], "XYZ")
	}
	if got := readAll(t, file); got != string(want) {
		t.Error("wrong contents after writing over them")
	}
	must(t, file.Truncate(t.Context(), 1000))
	must(t, file.Truncate(t.Context(), 3000))
	want = append(want[:1000], make([]byte, 2000)...)
	if got := readAll(t, file); got != string(want) {
		t.Error("wrong contents after cutting and stretching: what was cut must be zeros")
	}
	must(t, file.Sync(t.Context()))
	must(t, file.Close())
	if got := read(t, g.open(t, nil), "big"); got != string(want) {
		t.Error("another reads something else")
	}
}

func TestAppend(t *testing.T) {
	f := newGrid(t).open(t, nil)
	write(t, f, "log", "one ")
	must(t, f.Sync(t.Context()))
	file, err := f.Open(t.Context(), "log", os.O_WRONLY|os.O_APPEND)
	must(t, err)
	for _, word := range []string{"two ", "three "} {
		_, err := file.WriteAt(t.Context(), []byte(word), 0)
		must(t, err)
	}
	must(t, file.Close())
	if got := read(t, f, "log"); got != "one two three " {
		t.Errorf("got %q", got)
	}
}

func TestFlags(t *testing.T) {
	f := newGrid(t).open(t, nil)
	must(t, f.Mkdir(t.Context(), "dir"))
	write(t, f, "file", "x")
	for _, c := range []struct {
		path string
		flag int
		want error
	}{
		{"none", os.O_RDONLY, share.ErrNotFound},
		{"none/deeper", os.O_RDWR | os.O_CREATE, share.ErrNotFound},
		{"file", os.O_WRONLY | os.O_CREATE | os.O_EXCL, share.ErrExists},
		{"../file", os.O_RDONLY, nil},
	} {
		_, err := f.Open(t.Context(), c.path, c.flag)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.path, err, c.want)
		}
	}
	if _, err := f.Open(t.Context(), "dir", os.O_RDONLY); err == nil {
		t.Error("a directory was opened as a file")
	}
	file, err := f.Open(t.Context(), "file", os.O_RDONLY)
	must(t, err)
	if _, err := file.WriteAt(t.Context(), []byte("y"), 0); !errors.Is(err, share.ErrDenied) {
		t.Errorf("written through a handle for reading: %v", err)
	}
	must(t, file.Close())
	if err := file.Close(); err == nil {
		t.Error("closed twice")
	}
	if _, err := file.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	write(t, f, "file", "x")
	must(t, f.Sync(t.Context()))
	g.root, _ = g.root.Read()
	r := g.open(t, nil)
	if got := read(t, r, "file"); got != "x" {
		t.Errorf("got %q", got)
	}
	for what, err := range map[string]error{
		"create": func() error { _, err := r.Open(t.Context(), "new", os.O_WRONLY|os.O_CREATE); return err }(),
		"mkdir":  r.Mkdir(t.Context(), "dir"), "remove": r.Remove(t.Context(), "file"), "rename": r.Rename(t.Context(), "file", "b"),
		"time": r.SetModified(t.Context(), "file", time.Now()),
	} {
		if !errors.Is(err, capability.ErrAuthority) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDirectories(t *testing.T) {
	f := newGrid(t).open(t, nil)
	must(t, f.Mkdir(t.Context(), "a"))
	must(t, f.Mkdir(t.Context(), "a/b"))
	if err := f.Mkdir(t.Context(), "a/b"); !errors.Is(err, share.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if err := f.Remove(t.Context(), "a"); !errors.Is(err, vfs.ErrNotEmpty) {
		t.Errorf("removed while not empty: %v", err)
	}
	write(t, f, "a/b/new", "not stored yet")
	if err := f.Remove(t.Context(), "a/b"); !errors.Is(err, vfs.ErrNotEmpty) {
		t.Errorf("removed under a file that is not stored yet: %v", err)
	}
	must(t, f.RemoveAll(t.Context(), "a"))
	must(t, f.RemoveAll(t.Context(), "a"))
	if got := names(t, f, "/"); got != "" {
		t.Errorf("left: %q", got)
	}
	if _, err := f.Stat(t.Context(), "a/b"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
}

func TestPages(t *testing.T) {
	f := newGrid(t).open(t, nil)
	for _, name := range []string{"b", "d", "f"} {
		write(t, f, name, "")
	}
	must(t, f.Sync(t.Context()))
	for _, name := range []string{"a", "e", "g"} {
		write(t, f, name, "") // not stored
	}
	var got []string
	for after := ""; ; {
		infos, err := f.ReadDir(t.Context(), "/", after, 2)
		must(t, err)
		if len(infos) == 0 {
			break
		}
		for _, i := range infos {
			got = append(got, i.Name)
			after = i.Name
		}
	}
	if fmt.Sprint(got) != "[a b d e f g]" {
		t.Errorf("got %v", got)
	}
}

// TestDeleteWhileOpen goes on reading and writing a file that has lost its name.
func TestDeleteWhileOpen(t *testing.T) {
	for _, stored := range []bool{false, true} {
		g := newGrid(t)
		f := g.open(t, nil)
		write(t, f, "file", "contents")
		if stored {
			must(t, f.Sync(t.Context()))
		}
		file, err := f.Open(t.Context(), "file", os.O_RDWR)
		must(t, err)
		must(t, f.Remove(t.Context(), "file"))
		_, err = file.WriteAt(t.Context(), []byte("C"), 0)
		must(t, err)
		if got := readAll(t, file); got != "Contents" {
			t.Errorf("stored %v: got %q", stored, got)
		}
		if _, err := f.Stat(t.Context(), "file"); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("stored %v: still there: %v", stored, err)
		}
		write(t, f, "file", "another")
		must(t, file.Close())
		must(t, f.Sync(t.Context()))
		if got := read(t, g.open(t, nil), "file"); got != "another" {
			t.Errorf("stored %v: the new file has %q", stored, got)
		}
		if f.Dirty() != 0 {
			t.Errorf("stored %v: %d bytes dirty", stored, f.Dirty())
		}
	}
}

// TestRename has files that are stored, dirty and new, within a directory and between two, on free names and on taken ones.
func TestRename(t *testing.T) {
	for _, state := range []string{"stored", "dirty", "new"} {
		for _, target := range []string{"to", "sub/to"} {
			for _, over := range []string{"", "stored", "dirty", "new"} {
				t.Run(state+" "+target+" over "+over, func(t *testing.T) { rename(t, state, target, over) })
			}
		}
	}
}

func prepare(t *testing.T, f *vfs.FS, path, state string) {
	t.Helper()
	switch state {
	case "new":
		write(t, f, path, path)
	case "stored":
		write(t, f, path, path)
		must(t, f.Sync(t.Context()))
	case "dirty":
		write(t, f, path, "before")
		must(t, f.Sync(t.Context()))
		write(t, f, path, path)
	}
}

func rename(t *testing.T, state, target, over string) {
	g := newGrid(t)
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "sub"))
	prepare(t, f, target, over)
	prepare(t, f, "from", state)
	must(t, f.Rename(t.Context(), "from", target))
	check := func(f *vfs.FS) {
		t.Helper()
		if got := read(t, f, target); got != "from" {
			t.Errorf("contents %q", got)
		}
		if _, err := f.Stat(t.Context(), "from"); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("the former name: %v", err)
		}
	}
	check(f)
	must(t, f.Sync(t.Context()))
	check(f)
	check(g.open(t, nil))
}

func TestRenameDirectories(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	for _, d := range []string{"a", "a/in", "empty", "full"} {
		must(t, f.Mkdir(t.Context(), d))
	}
	write(t, f, "full/file", "x")
	write(t, f, "a/in/dirty", "not stored yet")
	if err := f.Rename(t.Context(), "a", "full"); !errors.Is(err, vfs.ErrNotEmpty) {
		t.Errorf("over a directory that is not empty: %v", err)
	}
	if err := f.Rename(t.Context(), "a", "full/file"); err == nil {
		t.Error("a directory took the place of a file")
	}
	if err := f.Rename(t.Context(), "full/file", "a"); err == nil {
		t.Error("a file took the place of a directory")
	}
	if err := f.Rename(t.Context(), "a", "a/in/self"); err == nil {
		t.Error("moved into itself")
	}
	must(t, f.Rename(t.Context(), "a", "empty"))
	must(t, f.Sync(t.Context()))
	if got := read(t, g.open(t, nil), "empty/in/dirty"); got != "not stored yet" {
		t.Errorf("the file inside: %q", got)
	}
}

func TestAttributes(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	write(t, f, "new", "x")
	write(t, f, "stored", "x")
	must(t, f.Sync(t.Context()))
	write(t, f, "new", "y")
	for _, name := range []string{"new", "stored"} {
		must(t, f.SetModified(t.Context(), name, when))
		must(t, f.SetExecutable(t.Context(), name, true))
	}
	must(t, f.Sync(t.Context()))
	other := g.open(t, nil)
	for _, name := range []string{"new", "stored"} {
		i, err := other.Stat(t.Context(), name)
		must(t, err)
		if !i.Modified.Equal(when) || !i.Executable {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

// TestManySmallFiles are stored in few exchanges and one version of their directory.
func TestManySmallFiles(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, nil)
	for i := range 500 {
		write(t, f, fmt.Sprintf("%03d", i), fmt.Sprint("file ", i))
	}
	g.dirs.Reset()
	must(t, f.Sync(t.Context()))
	if moved := g.dirs.Reset(); g.batches > 3 || moved.Writes > 2 {
		t.Errorf("%d batches and %+v for 500 files", g.batches, moved)
	}
	if got := read(t, g.open(t, nil), "499"); got != "file 499" {
		t.Errorf("got %q", got)
	}
}

// TestCrash ends a file system without a word, as kill -9 does: what was closed is there afterwards, what was not is as before.
func TestCrash(t *testing.T) {
	g := newGrid(t)
	spool := t.TempDir()
	f := g.open(t, func(c *vfs.Config) { c.Spool = spool })
	write(t, f, "over", "before")
	must(t, f.Sync(t.Context()))
	g.set(errors.New("no grid"))
	write(t, f, "closed", "closed")
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

	g.set(nil)
	after := g.open(t, func(c *vfs.Config) { c.Spool = filepath.Join(copied, "spool") })
	must(t, after.Sync(t.Context()))
	for path, want := range map[string]string{"closed": "closed", "over": "bAFTER"} {
		if got := read(t, after, path); got != want {
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
	write(t, f, "file", "x")
	if err := <-told; !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("told of %v", err)
	}
	if err := f.Sync(t.Context()); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("sync: %v", err)
	}
	if got := read(t, f, "file"); got != "x" {
		t.Errorf("got %q", got)
	}
	g.set(nil)
	must(t, f.Sync(t.Context()))
	if got := read(t, g.open(t, nil), "file"); got != "x" {
		t.Errorf("got %q", got)
	}
}

// TestSpoolIsBounded makes a writer wait while the spool is full, and lets it go on when there is room.
func TestSpoolIsBounded(t *testing.T) {
	g := newGrid(t)
	f := g.open(t, func(c *vfs.Config) { c.MaxDirty = 1000 })
	write(t, f, "a", string(make([]byte, 900)))
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
	write(t, f, "file", string(make([]byte, size)))
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
