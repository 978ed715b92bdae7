// Package vfstest is the conformance suite for the file systems of package vfs, whatever grid is under them.
package vfstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"cairn/node/vfs"
	"cairn/share"
	"cairn/share/capability"
)

// closeWithin bounds how long a file system may take to end.
const closeWithin = 30 * time.Second

// Run runs the suite. The function returns the Dirs, Files and Root of a new, empty directory.
func Run(t *testing.T, empty func(t *testing.T) vfs.Config) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *place){
		"stored and read by another": testStoredAndReadByAnother,
		"over stored":                testOverStored,
		"append":                     testAppend,
		"flags":                      testFlags,
		"read only root":             testReadOnlyRoot,
		"directories":                testDirectories,
		"pages":                      testPages,
		"delete while open":          testDeleteWhileOpen,
		"rename":                     testRename,
		"rename directories":         testRenameDirectories,
		"attributes":                 testAttributes,
		"crash":                      testCrash,
		"many at once":               testManyAtOnce,
		"crash later":                testCrashLater,
		"sealed":                     testSealed,
	} {
		t.Run(name, func(t *testing.T) { test(t, (&place{empty: empty}).fresh(t)) })
	}
}

// A place is a directory that file systems are opened on.
type place struct {
	vfs.Config
	empty func(t *testing.T) vfs.Config
}

// fresh returns another place.
func (g *place) fresh(t *testing.T) *place {
	t.Helper()
	return &place{g.empty(t), g.empty}
}

// open starts a file system; a nil change takes a spool of its own and stores only when it is asked to.
func (g *place) open(t *testing.T, change func(*vfs.Config)) *vfs.FS {
	t.Helper()
	c := g.Config
	c.Spool, c.WriteAfter = t.TempDir(), time.Hour
	if change != nil {
		change(&c)
	}
	f, err := vfs.New(c)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		_ = f.Close(ctx) // the tests that care have closed it
	})
	return f
}

func testStoredAndReadByAnother(t *testing.T, g *place) {
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "docs"))
	Write(t, f, "docs/a", "hello")
	if got := Read(t, f, "docs/a"); got != "hello" {
		t.Errorf("before it is stored: %q", got)
	}
	other := g.open(t, nil)
	if got := names(t, other, "docs"); got != "" {
		t.Errorf("another sees %q before it is stored", got)
	}
	must(t, f.Sync(t.Context()))
	third := g.open(t, nil)
	if got := Read(t, third, "docs/a"); got != "hello" || names(t, third, "docs") != "a:5 " {
		t.Errorf("another reads %q, sees %q", got, names(t, third, "docs"))
	}
	if f.Dirty() != 0 {
		t.Errorf("%d bytes are dirty after Sync", f.Dirty())
	}
}

// testOverStored writes into the middle of a large stored file, beyond its end, and cuts it.
func testOverStored(t *testing.T, g *place) {
	f := g.open(t, nil)
	want := bytes.Repeat([]byte("0123456789abcdef"), 100<<10)
	Write(t, f, "big", string(want))
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
	if got := ReadAll(t, file); got != string(want) {
		t.Error("wrong contents after writing over them")
	}
	must(t, file.Truncate(t.Context(), 1000))
	must(t, file.Truncate(t.Context(), 3000))
	want = append(want[:1000], make([]byte, 2000)...)
	if got := ReadAll(t, file); got != string(want) {
		t.Error("wrong contents after cutting and stretching: what was cut must be zeros")
	}
	must(t, file.Sync(t.Context()))
	must(t, file.Close())
	if got := Read(t, g.open(t, nil), "big"); got != string(want) {
		t.Error("another reads something else")
	}
}

func testAppend(t *testing.T, g *place) {
	f := g.open(t, nil)
	Write(t, f, "log", "one ")
	must(t, f.Sync(t.Context()))
	file, err := f.Open(t.Context(), "log", os.O_WRONLY|os.O_APPEND)
	must(t, err)
	for _, word := range []string{"two ", "three "} {
		_, err := file.WriteAt(t.Context(), []byte(word), 0)
		must(t, err)
	}
	must(t, file.Close())
	if got := Read(t, f, "log"); got != "one two three " {
		t.Errorf("got %q", got)
	}
}

func testFlags(t *testing.T, g *place) {
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "dir"))
	Write(t, f, "file", "x")
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

func testReadOnlyRoot(t *testing.T, g *place) {
	f := g.open(t, nil)
	Write(t, f, "file", "x")
	must(t, f.Sync(t.Context()))
	g.Root, _ = g.Root.Read()
	r := g.open(t, nil)
	if got := Read(t, r, "file"); got != "x" {
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

func testDirectories(t *testing.T, g *place) {
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "a"))
	must(t, f.Mkdir(t.Context(), "a/b"))
	if err := f.Mkdir(t.Context(), "a/b"); !errors.Is(err, share.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if err := f.Remove(t.Context(), "a"); !errors.Is(err, vfs.ErrNotEmpty) {
		t.Errorf("removed while not empty: %v", err)
	}
	Write(t, f, "a/b/new", "not stored yet")
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

func testPages(t *testing.T, g *place) {
	f := g.open(t, nil)
	for _, name := range []string{"b", "d", "f"} {
		Write(t, f, name, "")
	}
	must(t, f.Sync(t.Context()))
	for _, name := range []string{"a", "e", "g"} {
		Write(t, f, name, "") // not stored
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

// testDeleteWhileOpen goes on reading and writing a file that has lost its name.
func testDeleteWhileOpen(t *testing.T, g *place) {
	for _, stored := range []bool{false, true} {
		f := g.open(t, nil)
		Write(t, f, "file", "contents")
		if stored {
			must(t, f.Sync(t.Context()))
		}
		file, err := f.Open(t.Context(), "file", os.O_RDWR)
		must(t, err)
		must(t, f.Remove(t.Context(), "file"))
		_, err = file.WriteAt(t.Context(), []byte("C"), 0)
		must(t, err)
		if got := ReadAll(t, file); got != "Contents" {
			t.Errorf("stored %v: got %q", stored, got)
		}
		if _, err := f.Stat(t.Context(), "file"); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("stored %v: still there: %v", stored, err)
		}
		Write(t, f, "file", "another")
		must(t, file.Close())
		must(t, f.Sync(t.Context()))
		if got := Read(t, g.open(t, nil), "file"); got != "another" {
			t.Errorf("stored %v: the new file has %q", stored, got)
		}
		if f.Dirty() != 0 {
			t.Errorf("stored %v: %d bytes dirty", stored, f.Dirty())
		}
	}
}

// Write replaces what is in a file.
func Write(t *testing.T, f *vfs.FS, path, data string) {
	t.Helper()
	file, err := f.Open(t.Context(), path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	must(t, err)
	_, err = file.WriteAt(t.Context(), []byte(data), 0)
	must(t, err)
	must(t, file.Close())
}

// Read returns what is in a file.
func Read(t *testing.T, f *vfs.FS, path string) string {
	t.Helper()
	file, err := f.Open(t.Context(), path, os.O_RDONLY)
	must(t, err)
	defer file.Close()
	return ReadAll(t, file)
}

// ReadAll returns what is in an open file.
func ReadAll(t *testing.T, file *vfs.File) string {
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
