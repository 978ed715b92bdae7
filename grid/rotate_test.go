package grid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
)

func (n *named) at(root capability.Capability, path string) capability.Capability {
	n.t.Helper()
	found, err := n.Tree().Resolve(n.t.Context(), root, path)
	if err != nil {
		n.t.Fatal(err)
	}
	return found.Entry.Capability
}

func reading(t *testing.T, c capability.Capability) capability.Capability {
	t.Helper()
	read, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestRotate: the copy has the same content and shape, cycles and links for reading too; who has a former key sees nothing that
// is written to it; what is kept or never changes is the same.
func TestRotate(t *testing.T) { synctest.Test(t, testRotate) }

func testRotate(t *testing.T) {
	n := newNamed(t)
	ctx := t.Context()
	data := pattern(100000)
	n.link("a/file", put(t, n.Grid, data, known(data)).Capability)
	n.link("a/b/notes", n.mutable(data))
	a, b := n.at(n.root, "a"), n.at(n.root, "a/b")
	n.link("a/b/up", a)
	n.link("a/again", reading(t, b))
	theirs, err := n.Dirs().Create(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.link("a/theirs", theirs)
	n.link("a/elsewhere", reading(t, n.root))
	r, err := n.Rotate(ctx, a, func(id string) bool { return id == tree.ID(theirs) }, nil)
	if err != nil || r.Directories != 2 || r.Files != 1 || len(r.Moved) != 3 {
		t.Fatalf("made %+v, %v", r, err)
	}
	made, _ := r.Replaces(a)
	for path, same := range map[string]bool{"file": true, "b": false, "b/notes": false, "b/up": false, "again": false, "theirs": true, "elsewhere": true} {
		was, is := n.at(a, path), n.at(made, path)
		if is.Kind() != was.Kind() || (tree.ID(is) == tree.ID(was)) != same {
			t.Errorf("%s is %v and was %v; the same: want %v", path, is, was, same)
		}
	}
	if !n.at(made, "b/up").Equal(made) || !n.at(made, "again").Equal(reading(t, n.at(made, "b"))) {
		t.Error("the copies do not link to each other")
	}
	if !bytes.Equal(get(t, n.Grid, n.at(made, "b/notes")), data) {
		t.Error("the copy of the file has other bytes")
	}
	if count, err := n.Relink(ctx, n.root, "a", r); err != nil || count != 1 || !n.at(n.root, "a").Equal(made) {
		t.Errorf("relinked %d, %v", count, err)
	}
	n.link("a/b/secret", n.at(made, "file"))
	for _, path := range []string{"b/secret", "again/secret", "b/up/b/secret"} {
		if _, err := n.Tree().Resolve(ctx, reading(t, a), path); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("with the former key %s is found: %v", path, err)
		}
	}
	if _, err := n.Rotate(ctx, reading(t, made), nil, nil); !errors.Is(err, share.ErrReadOnly) {
		t.Errorf("with a key that reads: %v", err)
	}
}

// TestRotateMeanwhile: what is written while the copies are made is in them, and one that is written all the time is given up on.
func TestRotateMeanwhile(t *testing.T) { synctest.Test(t, testRotateMeanwhile) }

func testRotateMeanwhile(t *testing.T) {
	n := newNamed(t)
	n.link("a/b/notes", n.mutable(pattern(1000)))
	a := n.at(n.root, "a")
	file := n.at(a, "b/notes")
	times := 1
	write := func(grid.Copied) {
		if times > 0 {
			times--
			entry := dir.Entry{Capability: file}
			if _, err := n.Tree().Link(context.Background(), a, fmt.Sprintf("b/late%d", times), entry, tree.LinkOptions{Replace: true}); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := n.Rotate(t.Context(), a, nil, write)
	if err != nil {
		t.Fatal(err)
	}
	made, _ := r.Replaces(a)
	n.at(made, "b/late0")
	times = 1000
	if _, err := n.Rotate(t.Context(), a, nil, write); !errors.Is(err, grid.ErrBusy) || !strings.Contains(err.Error(), "being changed") {
		t.Errorf("while it is written all the time: %v", err)
	}
}
