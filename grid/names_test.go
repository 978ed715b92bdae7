package grid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
	"cairn/share/memory"
)

// A losing is a store that loses what it is told to, and counts renewals.
type losing struct {
	*memory.Store

	mu      sync.Mutex // guards what follows
	lost    map[share.StorageIndex]bool
	renewed int
}

func (l *losing) lose(index share.StorageIndex) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[index] = true
}

func (l *losing) has(index share.StorageIndex) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.lost[index]
}

func (l *losing) Heads(ctx context.Context, names []share.Name, shares bool) ([]share.HeldHead, error) {
	held, err := l.Store.Heads(ctx, names, shares)
	for i := range held {
		var left []share.WholeShare
		for _, s := range held[i].Shares {
			if l.has(s.Index) {
				left = append(left, s)
			}
		}
		held[i].Shares = left
	}
	return held, err
}

func (l *losing) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	held, err := l.Store.Numbers(ctx, indexes)
	for i := range held {
		if !l.has(held[i].Index) {
			held[i] = share.Held{Index: held[i].Index}
		}
	}
	return held, err
}

func (l *losing) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if !l.has(index) {
		return nil, share.ErrNotFound
	}
	return l.Store.Open(ctx, index, number)
}

func (l *losing) Fetch(ctx context.Context, indexes []share.StorageIndex) ([][]share.WholeShare, error) {
	found, err := l.Store.Fetch(ctx, indexes)
	for i := range found {
		if !l.has(indexes[i]) {
			found[i] = nil
		}
	}
	return found, err
}

func (l *losing) Renew(ctx context.Context, indexes []share.StorageIndex, lease share.Lease) error {
	l.mu.Lock()
	l.renewed += len(indexes)
	l.mu.Unlock()
	return l.Store.Renew(ctx, indexes, lease)
}

// named is a grid of stores that can lose things, with a root directory.
type named struct {
	*grid.Grid
	t      *testing.T
	stores []*losing
	root   capability.Capability
}

func newNamed(t *testing.T) *named {
	t.Helper()
	n := &named{t: t}
	m := &members{}
	for i := range 5 {
		store := &losing{Store: memory.New(memory.Options{}), lost: map[share.StorageIndex]bool{}}
		n.stores = append(n.stores, store)
		m.servers = append(m.servers, share.Server{ID: share.ServerID(fmt.Sprintf("server-%02d", i)), Store: store, Free: 1 << 40})
	}
	n.Grid = m.grid(t, keys.NewConvergenceSecret())
	var err error
	if n.root, err = n.Dirs().Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *named) link(path string, c capability.Capability) {
	n.t.Helper()
	if _, err := n.Tree().MkdirAll(n.t.Context(), n.root, "a/b"); err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.Tree().Link(n.t.Context(), n.root, path, dir.Entry{Capability: c}, tree.LinkOptions{Replace: true}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *named) mutable(data []byte) capability.Capability {
	n.t.Helper()
	key := keys.NewWriteKey()
	if _, err := n.Files().Write(n.t.Context(), key, nil, bytes.NewReader(data), mutable.WriteOptions{}); err != nil {
		n.t.Fatal(err)
	}
	return capability.Mutable(key)
}

// lose makes all servers lose the newest version of something.
func (n *named) lose(c capability.Capability) {
	n.t.Helper()
	v, err := n.Files().Read(n.t.Context(), c)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, store := range n.stores {
		store.lose(v.Head.Root)
	}
}

func (n *named) names(c capability.Capability) (names []string) {
	n.t.Helper()
	x, err := n.Dirs().Open(n.t.Context(), c)
	if err != nil {
		n.t.Fatal(err)
	}
	for e, err := range x.All(n.t.Context()) {
		if err != nil {
			n.t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	return names
}

// TestDamagedDirectory: a directory whose newest version is lost comes back as it was before.
func TestDamagedDirectory(t *testing.T) { synctest.Test(t, testDamagedDirectory) }

func testDamagedDirectory(t *testing.T) {
	n := newNamed(t)
	n.link("one", n.mutable([]byte("1")))
	n.link("two", n.mutable([]byte("2")))
	before, err := n.Dirs().Versions(t.Context(), n.root)
	if err != nil {
		t.Fatal(err)
	}
	n.link("three", n.mutable([]byte("3")))
	n.lose(n.root)
	if _, err := n.Dirs().Open(t.Context(), n.root); err == nil {
		t.Fatal("a directory that is lost can be opened")
	}
	versions, err := n.Dirs().Versions(t.Context(), n.root)
	if err != nil || len(versions) != len(before)+1 {
		t.Fatalf("%d versions, %v; want %d", len(versions), err, len(before)+1)
	}
	if _, err := n.Dirs().Restore(t.Context(), n.root, versions[1]); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(n.names(n.root)); got != "[a one two]" {
		t.Errorf("it comes back with %s", got)
	}
	n.link("four", n.mutable([]byte("4")))
	if got := fmt.Sprint(n.names(n.root)); got != "[a four one two]" {
		t.Errorf("after another change it has %s", got)
	}
	read, err := n.root.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Dirs().Restore(t.Context(), read, versions[1]); !errors.Is(err, capability.ErrAuthority) {
		t.Errorf("a reader restores: %v", err)
	}
}

func TestRestoreVersion(t *testing.T) { synctest.Test(t, testRestoreVersion) }

func testRestoreVersion(t *testing.T) {
	for _, size := range []int{100, 3000000} {
		n := newNamed(t)
		first, second := pattern(size), pattern(size+1)
		c := n.mutable(first)
		key, _ := c.WriteKey()
		v, err := n.Files().Read(t.Context(), c)
		if err == nil {
			_, err = n.Files().Write(t.Context(), key, v, bytes.NewReader(second), mutable.WriteOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(get(t, n.Grid, c), second) {
			t.Errorf("%d bytes: read something else than was written", size)
		}
		n.lose(c)
		if _, err := n.RestoreVersion(t.Context(), key, 1); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(get(t, n.Grid, c), first) {
			t.Errorf("%d bytes: the version before did not come back", size)
		}
		if _, err := n.RestoreVersion(t.Context(), key, 77); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("%d bytes: a version that never was: %v", size, err)
		}
	}
}

func TestCopyChangesIndependently(t *testing.T) { synctest.Test(t, testCopyChangesIndependently) }

func testCopyChangesIndependently(t *testing.T) {
	n := newNamed(t)
	data := pattern(100000)
	file := put(t, n.Grid, data, known(data)).Capability
	n.link("a/file", file)
	n.link("a/b/notes", n.mutable(data))
	a, err := n.Tree().Resolve(t.Context(), n.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	made, done, err := n.Copy(t.Context(), a.Entry.Capability, grid.CopyOptions{})
	if err != nil || done.Directories != 2 || done.Files != 2 {
		t.Fatalf("copied %+v, %v", done, err)
	}
	for path, same := range map[string]bool{"file": true, "b": false, "b/notes": false} {
		was, err := n.Tree().Resolve(t.Context(), a.Entry.Capability, path)
		if err != nil {
			t.Fatal(err)
		}
		is, err := n.Tree().Resolve(t.Context(), made, path)
		if err != nil {
			t.Fatal(err)
		}
		if is.Entry.Capability.Equal(was.Entry.Capability) != same {
			t.Errorf("%s: the same as before is %v, want %v", path, !same, same)
		}
		if path != "b" && !bytes.Equal(get(t, n.Grid, is.Entry.Capability), data) {
			t.Errorf("%s has other bytes", path)
		}
	}
}

// TestCopySkips: what cannot be copied is named, and does not keep the rest from it.
func TestCopySkips(t *testing.T) { synctest.Test(t, testCopySkips) }

func testCopySkips(t *testing.T) {
	n := newNamed(t)
	n.link("a/b/file", put(t, n.Grid, []byte("few"), known([]byte("few"))).Capability)
	a, err := n.Tree().Resolve(t.Context(), n.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	lost := n.mutable(pattern(100))
	n.lose(lost)
	n.link("a/b/lost", lost)
	n.link("a/b/nothing", capability.Directory(keys.NewWriteKey()))
	n.link("a/b/up", a.Entry.Capability)
	read, err := a.Entry.Capability.Read()
	if err != nil {
		t.Fatal(err)
	}
	n.link("a/b/up-read", read)
	made, done, err := n.Copy(t.Context(), a.Entry.Capability, grid.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var skipped []string
	for _, p := range done.Problems {
		skipped = append(skipped, p.Path)
		if up := strings.HasPrefix(p.Path, "b/up"); up != errors.Is(p.Err, grid.ErrCycle) {
			t.Errorf("%s: %v", p.Path, p.Err)
		}
	}
	if want := []string{"b/lost", "b/nothing", "b/up", "b/up-read"}; !slices.Equal(skipped, want) || done.Skipped != len(want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	if _, err := n.Tree().Resolve(t.Context(), made, "b/file"); err != nil {
		t.Error(err)
	}
}

// TestCheckTree: each thing counts once; what is lost is named.
func TestCheckTree(t *testing.T) { synctest.Test(t, testCheckTree) }

func testCheckTree(t *testing.T) {
	n := newNamed(t)
	data := pattern(100000)
	file := put(t, n.Grid, data, known(data)).Capability
	literal := put(t, n.Grid, []byte("few"), known([]byte("few"))).Capability
	notes := n.mutable(data)
	for path, c := range map[string]capability.Capability{
		"a/file": file, "a/b/again": file, "a/literal": literal, "a/notes": notes, "a/b/root": n.root,
	} {
		n.link(path, c)
	}
	counts, problems, err := n.CheckTree(t.Context(), n.root, "", grid.TreeOptions{Verify: true})
	want := grid.TreeCounts{Directories: 3, Files: 3, Literals: 1, Objects: 5}
	if counts.Bytes = 0; err != nil || len(problems) > 0 || counts != want {
		t.Fatalf("%+v, %v, %v; want %+v", counts, problems, err, want)
	}
	index, _ := file.StorageIndex()
	n.stores[0].lose(index)
	n.stores[1].lose(index)
	check := func(o grid.TreeOptions) (bad []grid.TreeResult) {
		o.Each = func(r grid.TreeResult) {
			if r.Err != nil || !r.Report.Healthy || r.Made > 0 {
				bad = append(bad, r)
			}
		}
		if _, problems, err := n.CheckTree(t.Context(), n.root, "a", o); err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		return bad
	}
	if bad := check(grid.TreeOptions{}); len(bad) != 1 || bad[0].Index != index || tree.Join(bad[0].Path) != "a/b/again" || !bad[0].Report.Recoverable {
		t.Errorf("not healthy: %+v", bad)
	}
	for _, store := range n.stores[:2] {
		store.mu.Lock()
		clear(store.lost)
		store.mu.Unlock()
	}
	n.lose(notes)
	_, problems, err = n.CheckTree(t.Context(), n.root, "a", grid.TreeOptions{})
	if err != nil || len(problems) != 1 || tree.Join(problems[0].Path) != "a/notes" {
		t.Errorf("a mutable file that is lost: %+v, %v", problems, err)
	}
}

func TestRenewTree(t *testing.T) { synctest.Test(t, testRenewTree) }

func testRenewTree(t *testing.T) {
	n := newNamed(t)
	data := pattern(100000)
	file := put(t, n.Grid, data, known(data)).Capability
	n.link("a/file", file)
	n.link("a/b/notes", n.mutable(data))
	index, _ := file.StorageIndex()
	gone := capability.File(share.StorageIndex{9}, keys.ReadKey{})
	n.link("a/gone", gone)
	var asked, renewed []share.StorageIndex
	_, done, problems, err := n.RenewTree(t.Context(), n.root, "", grid.RenewOptions{
		Due: func(index share.StorageIndex) bool {
			asked = append(asked, index)
			return true
		},
		DuePast: func(share.StorageIndex) bool { return false },
		Renewed: func(indexes []share.StorageIndex) error {
			renewed = append(renewed, indexes...)
			return nil
		},
	})
	if err != nil || len(problems) > 0 || len(asked) != 6 || done != (grid.Renewal{Renewed: 5, Missing: 1}) || len(renewed) != 5 {
		t.Errorf("asked %d, renewed %d, %+v, %v, %v", len(asked), len(renewed), done, problems, err)
	}
	if n.stores[0].renewed == 0 {
		t.Error("no server was asked to renew")
	}
	before := n.stores[0].renewed
	_, done, _, err = n.RenewTree(t.Context(), n.root, "", grid.RenewOptions{
		Due: func(i share.StorageIndex) bool { return i == index }, Renewed: func([]share.StorageIndex) error { return nil },
	})
	if err != nil || done.Renewed != 1 || n.stores[0].renewed != before+1 {
		t.Errorf("of one that is due: %+v, %v", done, err)
	}
}

// TestCheckWithoutReading checks and repairs what can change with capabilities that cannot read it.
func TestCheckWithoutReading(t *testing.T) { synctest.Test(t, testCheckWithoutReading) }

func testCheckWithoutReading(t *testing.T) {
	n := newNamed(t)
	c := n.mutable(bytes.Repeat([]byte("some bytes, "), 100))
	v, err := n.Files().Read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	n.stores[0].lose(v.Head.Root)
	for _, c := range []capability.Capability{c, n.root} {
		verify, err := c.Verify()
		if err != nil {
			t.Fatal(err)
		}
		repaired, err := n.Repair(t.Context(), verify, true, nil)
		if err != nil || !repaired.After.Recoverable {
			t.Fatalf("%s: %+v, %v", c.Kind(), repaired.After, err)
		}
		report, err := n.Check(t.Context(), verify, false, nil)
		whole, wholeErr := n.Check(t.Context(), c, false, nil)
		if err != nil || wholeErr != nil || report.SharesGood != whole.SharesGood || report.SharesGood == 0 {
			t.Errorf("%s: %d good shares seen without reading (%v), %d with it (%v)", c.Kind(), report.SharesGood, err, whole.SharesGood, wholeErr)
		}
	}
	never, err := capability.Mutable(keys.NewWriteKey()).Verify()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Check(t.Context(), never, false, nil); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("what nobody has: %v", err)
	}
}
