package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A forest is a tree in memory with an empty root.
type forest struct {
	*tree.Tree
	t    *testing.T
	dirs *dir.Dirs
	root capability.Capability
}

func grow(t *testing.T) *forest {
	t.Helper()
	dirs := dirtest.New().Dirs()
	root, err := dirs.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &forest{tree.New(dirs), t, dirs, root}
}

func literal(t *testing.T, text string) capability.Capability {
	t.Helper()
	c, err := capability.Literal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *forest) file(path string) capability.Capability {
	f.t.Helper()
	c := literal(f.t, path[max(0, len(path)-50):])
	if _, err := f.Link(f.t.Context(), f.root, path, dir.Entry{Capability: c}, tree.LinkOptions{Replace: true}); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *forest) dir(path string) tree.Node {
	f.t.Helper()
	n, err := f.MkdirAll(f.t.Context(), f.root, path)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// all returns every path below the root; one that is met again has a star behind it, one that cannot be listed a mark.
func (f *forest) all() []string {
	f.t.Helper()
	var paths []string
	err := f.Walk(f.t.Context(), f.root, "", func(v tree.Visit) error {
		path := tree.Join(v.Path)
		switch {
		case v.Again:
			path += "*"
		case v.Err != nil:
			path += "!"
		}
		paths = append(paths, path)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return paths
}

func (f *forest) want(paths ...string) {
	f.t.Helper()
	if got := f.all(); !slices.Equal(got, append([]string{""}, paths...)) {
		f.t.Errorf("the tree is %q, want %q", got[1:], paths)
	}
}

func wantError(t *testing.T, what string, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s gives %v, want %v", what, err, want)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s gives %q, which does not say %q", what, err, text)
		}
	}
}

func TestSplit(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "/": "", "a": "a", "a/b": "a/b", "/a//b/": "a/b/", "./a/./b": "a/b", "a/.": "a/", "cafe\u0301": "caf\u00e9", ".": "",
		".../..a/.b": ".../..a/.b", "a b/c": "a b/c",
	} {
		names, slash, err := tree.Split(path)
		got := tree.Join(names)
		if slash {
			got += "/"
		}
		if err != nil || got != want {
			t.Errorf("%q is read as %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"..", "a/../b", "a/..", "../../etc/passwd", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 256), "a/" + strings.Repeat("é", 128)} {
		_, _, err := tree.Split(path)
		if e, ok := errors.AsType[*dir.NameError](err); !ok {
			t.Errorf("%.20q: %v, %v; want a NameError", path, err, e)
		}
	}
	if names, _, err := tree.Split(strings.Repeat("x", 255)); err != nil || len(names) != 1 {
		t.Errorf("a name of 255 bytes: %v", err)
	}
	if _, _, err := tree.Split(strings.Repeat("a/", tree.MaxDepth+1)); err == nil {
		t.Error("a path without end is accepted")
	}
}

func TestMakeFindRemove(t *testing.T) {
	f := grow(t)
	ctx := t.Context()
	f.dir("docs/old")
	plan := f.file("docs/plan")
	f.file("docs/old/draft")
	f.want("docs", "docs/old", "docs/old/draft", "docs/plan")
	n, err := f.Resolve(ctx, f.root, "docs/plan")
	if err != nil || !n.Entry.Capability.Equal(plan) || n.Entry.Name != "plan" || n.Entry.Changed.IsZero() || n.Parent.Authority() != capability.AuthorityWrite {
		t.Errorf("docs/plan is %+v, %v", n, err)
	}
	_, err = f.Resolve(ctx, f.root, "docs/missing/x")
	wantError(t, "a missing name", err, share.ErrNotFound, "docs/missing: not found")
	_, err = f.Resolve(ctx, f.root, "docs/plan/x")
	wantError(t, "a path through a file", err, tree.ErrNotDirectory, "docs/plan: not a directory")
	_, err = f.Resolve(ctx, f.root, "docs/plan/")
	wantError(t, "a file with a slash", err, tree.ErrNotDirectory)

	_, err = f.Mkdir(ctx, f.root, "docs")
	wantError(t, "mkdir of what exists", err, share.ErrExists, "docs: ")
	_, err = f.Mkdir(ctx, f.root, "a/b")
	wantError(t, "mkdir below nothing", err, share.ErrNotFound, "a: not found")
	_, err = f.MkdirAll(ctx, f.root, "docs/plan")
	wantError(t, "mkdir -p of a file", err, tree.ErrNotDirectory)
	_, err = f.MkdirAll(ctx, f.root, "docs/plan/x")
	wantError(t, "mkdir -p below a file", err, tree.ErrNotDirectory)
	if n := f.dir("docs/old"); n.Entry.Name != "old" {
		t.Errorf("mkdir -p of what exists is %+v", n)
	}
	_, err = f.Mkdir(ctx, f.root, "")
	if err == nil {
		t.Error("the root was made a second time")
	}

	_, err = f.Link(ctx, f.root, "docs/plan", dir.Entry{Capability: literal(t, "other")}, tree.LinkOptions{})
	wantError(t, "linking over a file", err, share.ErrExists)
	_, err = f.Link(ctx, f.root, "docs/old", dir.Entry{Capability: plan}, tree.LinkOptions{Replace: true})
	wantError(t, "linking over a directory", err, tree.ErrIsDirectory)

	_, err = f.Unlink(ctx, f.root, "docs/old", tree.UnlinkOptions{})
	wantError(t, "rm of a directory", err, tree.ErrIsDirectory)
	_, err = f.Unlink(ctx, f.root, "docs/nothing", tree.UnlinkOptions{})
	wantError(t, "rm of nothing", err, share.ErrNotFound)
	_, err = f.Unlink(ctx, f.root, "docs/plan/", tree.UnlinkOptions{Directories: true})
	wantError(t, "rm of a file with a slash", err, tree.ErrNotDirectory)
	for _, path := range []string{"docs/old", "docs/plan"} {
		if _, err := f.Unlink(ctx, f.root, path, tree.UnlinkOptions{Directories: true}); err != nil {
			t.Errorf("rm -r %s: %v", path, err)
		}
	}
	f.want("docs")

	f.dir("docs/empty")
	_, err = f.Unlink(ctx, f.root, "docs", tree.UnlinkOptions{Empty: true})
	wantError(t, "rm -d of a directory with something in it", err, tree.ErrNotEmpty, "docs: ")
	for _, path := range []string{"docs/empty", "docs"} {
		if _, err := f.Unlink(ctx, f.root, path, tree.UnlinkOptions{Empty: true}); err != nil {
			t.Errorf("rm -d %s: %v", path, err)
		}
	}
	_, err = f.Unlink(ctx, f.root, "docs", tree.UnlinkOptions{Empty: true})
	wantError(t, "rm -d of nothing", err, share.ErrNotFound)
	_, err = f.Mkdir(ctx, f.root, "")
	wantError(t, "mkdir of the root", err, share.ErrExists)
}

func TestMove(t *testing.T) {
	f := grow(t)
	ctx := t.Context()
	f.dir("a/b/c")
	f.dir("z")
	f.file("a/one")
	f.file("a/two")
	move := func(from, to string, o tree.MoveOptions) error {
		_, err := f.Move(ctx, tree.Place{Root: f.root, Path: from}, tree.Place{Root: f.root, Path: to}, o)
		return err
	}
	if err := move("a/one", "a/eins", tree.MoveOptions{}); err != nil {
		t.Error(err)
	}
	wantError(t, "mv over a file", move("a/eins", "a/two", tree.MoveOptions{}), share.ErrExists)
	if err := move("a/eins", "a/two", tree.MoveOptions{Replace: true}); err != nil {
		t.Error(err)
	}
	f.want("a", "a/b", "a/b/c", "a/two", "z")
	if err := move("a/two", "z/zwei", tree.MoveOptions{}); err != nil {
		t.Error(err)
	}
	if err := move("a/b", "z/b", tree.MoveOptions{}); err != nil {
		t.Error(err)
	}
	f.want("a", "z", "z/b", "z/b/c", "z/zwei")
	for _, to := range []string{"z/b/x", "z/b/c/x"} {
		if err := move("z/b", to, tree.MoveOptions{}); err == nil {
			t.Errorf("a directory was moved to %s, into itself", to)
		}
	}
	wantError(t, "mv of a directory over a file", move("a", "z/zwei", tree.MoveOptions{Replace: true}), share.ErrExists)
	wantError(t, "mv of a file over a directory", move("z/zwei", "a", tree.MoveOptions{Replace: true}), share.ErrExists)
	wantError(t, "mv of nothing", move("nothing", "x", tree.MoveOptions{}), share.ErrNotFound)
	if err := move("z", "z", tree.MoveOptions{Replace: true}); err != nil {
		t.Errorf("mv of a name to itself: %v", err)
	}
	f.want("a", "z", "z/b", "z/b/c", "z/zwei")
}

// TestReadOnly: what is reached through a directory that is open for reading only can be read only.
func TestReadOnly(t *testing.T) {
	f := grow(t)
	ctx := t.Context()
	f.dir("shared/deep/deeper")
	shared, err := f.Resolve(ctx, f.root, "shared")
	if err != nil {
		t.Fatal(err)
	}
	read, err := shared.Entry.Capability.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Link(ctx, f.root, "link", dir.Entry{Capability: read}, tree.LinkOptions{}); err != nil {
		t.Fatal(err)
	}
	n, err := f.Resolve(ctx, f.root, "link/deep/deeper")
	if err != nil || n.Entry.Capability.Kind() != capability.KindDirRead {
		t.Errorf("through a link for reading it is %v, %v", n.Entry.Capability, err)
	}
	_, err = f.Mkdir(ctx, f.root, "link/deep/new")
	wantError(t, "mkdir through a link for reading", err, capability.ErrAuthority, "link/deep: ", "cairn:dir:")
	_, err = f.Unlink(ctx, f.root, "link/deep", tree.UnlinkOptions{Directories: true})
	wantError(t, "rm through a link for reading", err, capability.ErrAuthority)
	_, err = f.Move(ctx, tree.Place{Root: f.root, Path: "link/deep"}, tree.Place{Root: f.root, Path: "mine"}, tree.MoveOptions{})
	wantError(t, "mv out of a link for reading", err, capability.ErrAuthority)
	verify, err := read.Verify()
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Resolve(ctx, verify, "deep")
	wantError(t, "a verify capability", err, capability.ErrAuthority, "read capability")
	frozen, err := f.dirs.CreateImmutable(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Mkdir(ctx, frozen, "x")
	wantError(t, "mkdir in an immutable directory", err, share.ErrReadOnly, "immutable")
}

// TestCycles: directories that contain each other are visited once.
func TestCycles(t *testing.T) {
	f := grow(t)
	ctx := t.Context()
	f.dir("a/b")
	for path, c := range map[string]capability.Capability{"a/b/root": f.root, "a/b/up": f.dir("a").Entry.Capability, "again": f.dir("a/b").Entry.Capability} {
		if _, err := f.Link(ctx, f.root, path, dir.Entry{Capability: c}, tree.LinkOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.want("a", "a/b", "a/b/root*", "a/b/up*", "again*")
	_, err := f.Move(ctx, tree.Place{Root: f.root, Path: "a"}, tree.Place{Root: f.root, Path: "again/up/b/x"}, tree.MoveOptions{})
	if err == nil {
		t.Error("a directory was moved into itself on a way round")
	}
	if n, err := f.Resolve(ctx, f.root, strings.Repeat("a/b/root/", 20)+"a"); err != nil || tree.ID(n.Entry.Capability) != tree.ID(f.dir("a").Entry.Capability) {
		t.Errorf("round and round: %v, %v", n, err)
	}
}

func TestDeep(t *testing.T) {
	f := grow(t)
	const depth = 1000
	path := strings.TrimSuffix(strings.Repeat("d/", depth), "/")
	f.dir(path)
	f.file(path + "/bottom")
	if got := f.all(); len(got) != depth+2 || got[depth+1] != path+"/bottom" {
		t.Errorf("%d directories deep the walk finds %d things", depth, len(got))
	}
}

// TestDamage: a directory that cannot be read is told, and does not end a walk.
func TestDamage(t *testing.T) {
	f := grow(t)
	f.dir("a")
	f.dir("gone")
	f.file("gone/x")
	f.file("z")
	other := dirtest.New().Dirs()
	lost, err := other.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Link(t.Context(), f.root, "lost", dir.Entry{Capability: lost}, tree.LinkOptions{}); err != nil {
		t.Fatal(err)
	}
	f.want("a", "gone", "gone/x", "lost!", "z")
	_, err = f.Resolve(t.Context(), f.root, "lost/x")
	wantError(t, "a directory that is lost", err, share.ErrNotFound, "lost: ")
}

// TestDotsLast: what is found under a proper name and under one that begins with a dot counts as the former.
func TestDotsLast(t *testing.T) {
	f := grow(t)
	photos := f.dir("photos")
	f.file("photos/one")
	f.dir(".names")
	if _, err := f.Link(t.Context(), f.root, ".names/ph", dir.Entry{Capability: photos.Entry.Capability}, tree.LinkOptions{}); err != nil {
		t.Fatal(err)
	}
	f.want("photos", "photos/one", ".names", ".names/ph*")
}

func TestSkipStopAndList(t *testing.T) {
	f := grow(t)
	f.dir("a/b")
	f.file("c")
	var seen []string
	stop := errors.New("stop")
	err := f.Walk(t.Context(), f.root, "", func(v tree.Visit) error {
		seen = append(seen, tree.Join(v.Path))
		switch tree.Join(v.Path) {
		case "a":
			return tree.ErrSkip
		case "c":
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || !slices.Equal(seen, []string{"", "a", "c"}) {
		t.Errorf("it visits %q, %v", seen, err)
	}
	many := f.dir("many")
	_, err = f.dirs.Update(t.Context(), many.Entry.Capability, func(e *dir.Editor) error {
		for i := range 2500 {
			if err := e.Set(dir.Entry{Name: fmt.Sprintf("%04d", i), Capability: literal(t, "x")}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		after       string
		limit, want int
		first       string
	}{{"", 0, 2500, "0000"}, {"1999", 0, 500, "2000"}, {"", 1500, 1500, "0000"}, {"2498", 7, 1, "2499"}, {"2499", 7, 0, ""}} {
		first, got := "", 0
		err := f.List(t.Context(), many, test.after, test.limit, func(n tree.Node) error {
			if got++; first == "" {
				first = n.Entry.Name
			}
			return nil
		})
		if err != nil || got != test.want || first != test.first {
			t.Errorf("%d after %q: %d from %q on, %v", test.limit, test.after, got, first, err)
		}
	}
}

func TestChange(t *testing.T) {
	f := grow(t)
	c := f.file("x")
	n, err := f.Resolve(t.Context(), f.root, "x")
	if err != nil {
		t.Fatal(err)
	}
	touch := func() error {
		return f.Change(t.Context(), n, func(e *dir.Entry) { e.Size, e.Name = 77, "other" })
	}
	if err := touch(); err != nil {
		t.Fatal(err)
	}
	if n, err = f.Resolve(t.Context(), f.root, "x"); err != nil || n.Entry.Size != 77 || !n.Entry.Capability.Equal(c) {
		t.Errorf("it is %+v, %v", n.Entry, err)
	}
	if _, err := f.Unlink(t.Context(), f.root, "x", tree.UnlinkOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := touch(); err != nil {
		t.Errorf("what is gone: %v", err)
	}
	f.want()
}

// TestTogether: directories that are made at the same time by several are all there.
func TestTogether(t *testing.T) {
	f := grow(t)
	errs := make(chan error)
	for i := range 8 {
		go func() {
			_, err := f.MkdirAll(context.WithoutCancel(t.Context()), f.root, fmt.Sprintf("same/way/%d", i))
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := f.all(); len(got) != 11 {
		t.Errorf("the tree is %q", got)
	}
}

// TestErrorsNameWhatIsWrong: a directory that cannot be read is named itself, and not what was to be made in it.
func TestErrorsNameWhatIsWrong(t *testing.T) {
	f := grow(t)
	f.dir("a")
	f.file("file")
	lost := capability.Directory(keys.NewWriteKey())
	if _, err := f.Link(t.Context(), f.root, "lost", dir.Entry{Capability: lost}, tree.LinkOptions{}); err != nil {
		t.Fatal(err)
	}
	_, mkdir := f.Mkdir(t.Context(), f.root, "lost/new")
	_, link := f.Link(t.Context(), f.root, "lost/new", dir.Entry{Capability: literal(t, "x")}, tree.LinkOptions{})
	_, unlink := f.Unlink(t.Context(), f.root, "lost/old", tree.UnlinkOptions{})
	_, carry := f.Move(t.Context(), tree.Place{Root: f.root, Path: "file"}, tree.Place{Root: f.root, Path: "lost/file"}, tree.MoveOptions{})
	for name, err := range map[string]error{"mkdir": mkdir, "link": link, "unlink": unlink, "carry": carry} {
		if at, ok := errors.AsType[*tree.PathError](err); !ok || at.Path != "lost" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, exists := f.Mkdir(t.Context(), f.root, "a")
	_, missing := f.Unlink(t.Context(), f.root, "b", tree.UnlinkOptions{})
	_, directory := f.Unlink(t.Context(), f.root, "a", tree.UnlinkOptions{})
	for path, err := range map[string]error{"a": exists, "b": missing} {
		if at, ok := errors.AsType[*tree.PathError](err); !ok || at.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	if !errors.Is(directory, tree.ErrIsDirectory) || directory.Error() != "a: it is a directory" {
		t.Errorf("a directory: %v", directory)
	}
	if _, err := f.Mkdir(t.Context(), f.root, "b\nc"); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a name of two lines: %q", err)
	}
}
