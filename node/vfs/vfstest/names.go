package vfstest

import (
	"errors"
	"testing"
	"time"

	"cairn/node/vfs"
	"cairn/share"
)

// testRename has files that are stored, dirty and new, within a directory and between two, on free names and on taken ones.
func testRename(t *testing.T, g *place) {
	for _, state := range []string{"stored", "dirty", "new"} {
		for _, target := range []string{"to", "sub/to"} {
			for _, over := range []string{"", "stored", "dirty", "new"} {
				t.Run(state+" "+target+" over "+over, func(t *testing.T) { rename(t, g.fresh(t), state, target, over) })
			}
		}
	}
}

func prepare(t *testing.T, f *vfs.FS, path, state string) {
	t.Helper()
	switch state {
	case "new":
		Write(t, f, path, path)
	case "stored":
		Write(t, f, path, path)
		must(t, f.Sync(t.Context()))
	case "dirty":
		Write(t, f, path, "before")
		must(t, f.Sync(t.Context()))
		Write(t, f, path, path)
	}
}

func rename(t *testing.T, g *place, state, target, over string) {
	f := g.open(t, nil)
	must(t, f.Mkdir(t.Context(), "sub"))
	prepare(t, f, target, over)
	prepare(t, f, "from", state)
	must(t, f.Rename(t.Context(), "from", target))
	check := func(f *vfs.FS) {
		t.Helper()
		if got := Read(t, f, target); got != "from" {
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

func testRenameDirectories(t *testing.T, g *place) {
	f := g.open(t, nil)
	for _, d := range []string{"a", "a/in", "empty", "full"} {
		must(t, f.Mkdir(t.Context(), d))
	}
	Write(t, f, "full/file", "x")
	Write(t, f, "a/in/dirty", "not stored yet")
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
	if got := Read(t, g.open(t, nil), "empty/in/dirty"); got != "not stored yet" {
		t.Errorf("the file inside: %q", got)
	}
}

func testAttributes(t *testing.T, g *place) {
	f := g.open(t, nil)
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	Write(t, f, "new", "x")
	Write(t, f, "stored", "x")
	must(t, f.Sync(t.Context()))
	Write(t, f, "new", "y")
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
