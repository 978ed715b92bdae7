package grid_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A lonely grid is one whose things were stored while it had one server.
type lonely struct {
	*named
	m        *members
	contents map[string][]byte // of files, by path
}

// newLonely stores all kinds of things on one server, and gives the grid four more.
func newLonely(t *testing.T) *lonely {
	t.Helper()
	l := &lonely{named: &named{t: t}, m: newMembers(1), contents: map[string][]byte{}}
	l.Grid = l.m.grid(t, keys.NewConvergenceSecret())
	var err error
	if l.root, err = l.Dirs().Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	l.file("a/large", pattern(300000))
	l.file("a/small", pattern(3000))
	l.file("a/literal", []byte("few"))
	private := put(t, l.Grid, pattern(5000), grid.PutOptions{Size: 5000, Private: true})
	l.linked("a/private", private.Capability, pattern(5000))
	l.linked("a/changes", l.mutable(pattern(200000)), pattern(200000))
	l.link("a/b/up", l.root)
	inner, err := l.Dirs().CreateImmutable(t.Context(), dir.Entries(l.entry("a/large", "x"), l.entry("a/small", "y")))
	if err != nil {
		t.Fatal(err)
	}
	old := l.entry("a/small", "one")
	snapshot, err := l.Dirs().CreateImmutable(t.Context(), dir.Entries(dir.Entry{Name: "inner", Capability: inner}, old))
	if err != nil {
		t.Fatal(err)
	}
	l.link("snapshot", snapshot)
	l.contents["snapshot/inner/x"], l.contents["snapshot/inner/y"], l.contents["snapshot/one"] = pattern(300000), pattern(3000), pattern(3000)
	l.many("many", 700)
	for i := 1; i < 5; i++ {
		l.m.add(i)
	}
	return l
}

func (l *lonely) file(path string, data []byte) {
	l.t.Helper()
	l.linked(path, put(l.t, l.Grid, data, known(data)).Capability, data)
}

func (l *lonely) linked(path string, c capability.Capability, data []byte) {
	l.t.Helper()
	l.link(path, c)
	l.contents[path] = data
}

// many makes a directory of several pages.
func (l *lonely) many(path string, n int) {
	l.t.Helper()
	made, err := l.Tree().Mkdir(l.t.Context(), l.root, path)
	if err != nil {
		l.t.Fatal(err)
	}
	data := pattern(100)
	c := put(l.t, l.Grid, data, known(data)).Capability
	_, err = l.Dirs().Update(l.t.Context(), made.Entry.Capability, func(e *dir.Editor) error {
		for i := range n {
			if err := e.Set(dir.Entry{Name: fmt.Sprintf("%04d", i), Capability: c, Metadata: dir.Metadata{Size: 100}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.contents[path+"/0000"], l.contents[path+"/0699"] = data, data
}

func (l *lonely) entry(path, name string) dir.Entry {
	l.t.Helper()
	n, err := l.Tree().Resolve(l.t.Context(), l.root, path)
	if err != nil {
		l.t.Fatal(err)
	}
	return dir.Entry{Name: name, Capability: n.Entry.Capability, Metadata: dir.Metadata{Size: int64(len(l.contents[path]))}}
}

// thin returns what is thin, with its path.
func (l *lonely) thin(o grid.TreeOptions) (map[share.StorageIndex]share.Params, []string) {
	l.t.Helper()
	found, paths := map[share.StorageIndex]share.Params{}, []string{}
	o.Each = func(r grid.TreeResult) {
		if r.Err != nil || !r.Report.Healthy {
			l.t.Errorf("%s: %+v, %v", tree.Join(r.Path), r.Report, r.Err)
		}
		if r.Report.Thin {
			found[r.Index] = share.Params{Needed: r.Report.SharesNeeded, Total: r.Report.SharesTotal}
			paths = append(paths, tree.Join(r.Path))
		}
	}
	_, problems, err := l.CheckTree(l.t.Context(), l.root, "", o)
	if err != nil || len(problems) > 0 {
		l.t.Fatal(problems, err)
	}
	slices.Sort(paths)
	return found, slices.Compact(paths)
}

func (l *lonely) readable() {
	l.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(l.contents)) {
		if got := get(l.t, l.Grid, l.entry(path, "").Capability); !bytes.Equal(got, l.contents[path]) {
			l.t.Errorf("%s reads as %d other bytes", path, len(got))
		}
	}
}

// TestStoreAnew: what was stored on one server stands on enough of them afterwards, and reads the same without the first.
func TestStoreAnew(t *testing.T) { synctest.Test(t, testStoreAnew) }

func testStoreAnew(t *testing.T) {
	l := newLonely(t)
	before, paths := l.thin(grid.TreeOptions{Repair: true})
	if len(before) < 14 || !slices.Contains(paths, "") || !slices.Contains(paths, "snapshot/inner/x") && !slices.Contains(paths, "a/large") {
		t.Fatalf("thin are %d objects: %q", len(before), paths)
	}
	small, private := l.entry("a/small", "").Capability, l.entry("a/private", "").Capability
	calls := 0
	done, err := l.StoreAnew(t.Context(), l.root, "", grid.AnewOptions{Thin: before, Progress: func(grid.Anew) { calls++ }})
	if err != nil || len(done.Left) > 0 || done.Files != 5 || done.Directories != 6 || calls != 11 {
		t.Fatalf("%d files, %d directories, %d calls, left %v: %v", done.Files, done.Directories, calls, done.Left, err)
	}
	if left, paths := l.thin(grid.TreeOptions{}); len(left) > 0 {
		t.Errorf("still thin: %q", paths)
	}
	if again := put(t, l.Grid, pattern(3000), known(pattern(3000))).Capability; again.Equal(small) {
		t.Error("the file has the same capability under other parameters")
	} else if !again.Equal(l.entry("a/small", "").Capability) {
		t.Error("stored once more the file has another capability than the one that was stored anew")
	}
	if c := l.entry("a/private", "").Capability; c.Equal(private) || c.Equal(put(t, l.Grid, pattern(5000), known(pattern(5000))).Capability) {
		t.Error("a file with a random key has one now that follows from its contents")
	}
	l.m.servers = l.m.servers[1:]
	l.readable()
	if _, err := l.Tree().Resolve(t.Context(), l.root, "a/b/up/a/b/up/many/0123"); err != nil {
		t.Error(err)
	}
}

// TestOutgrown: what a grid of now would store better is found, unless it could not store it.
func TestOutgrown(t *testing.T) { synctest.Test(t, testOutgrown) }

func testOutgrown(t *testing.T) {
	l := newLonely(t)
	fresh := put(t, l.Grid, pattern(7000), known(pattern(7000))).Capability
	lost := capability.File(share.IndexOf([]byte("nobody has it")), keys.NewReadKey())
	caps := []capability.Capability{
		l.entry("a/literal", "").Capability, fresh, l.entry("a/small", "").Capability, l.root, lost, l.entry("snapshot", "").Capability,
	}
	which, wanted, err := l.Outgrown(t.Context(), caps)
	if err != nil || wanted != 4 || !slices.Equal(which, []int{2, 4, 5}) {
		t.Errorf("%v of %d wanted, %v", which, wanted, err)
	}
	for i := range l.m.servers[1:] {
		l.m.servers[i+1].Down = true
	}
	if which, wanted, err = l.Outgrown(t.Context(), caps); err != nil || wanted != 0 || which != nil {
		t.Errorf("while too few answer: %v of %d wanted, %v", which, wanted, err)
	}
}

// TestStoreAnewPart: one file by its path, and what no link can be changed for.
func TestStoreAnewPart(t *testing.T) { synctest.Test(t, testStoreAnewPart) }

func testStoreAnewPart(t *testing.T) {
	l := newLonely(t)
	a, err := l.entry("a", "").Capability.Read()
	if err != nil {
		t.Fatal(err)
	}
	l.link("theirs", a)
	before, _ := l.thin(grid.TreeOptions{})
	o := grid.AnewOptions{Thin: before}
	done, err := l.StoreAnew(t.Context(), l.root, "a/small", o)
	if err != nil || done.Files != 1 || done.Directories != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	large := l.entry("a/large", "").Capability
	done, err = l.StoreAnew(t.Context(), large, "", o)
	if err != nil || len(done.Left) != 1 || done.Left[tree.ID(large)] == nil {
		t.Errorf("a file that is in no directory: %+v, %v", done, err)
	}
	done, err = l.StoreAnew(t.Context(), l.root, "theirs", o)
	if err != nil || done.Files+done.Directories != 0 {
		t.Errorf("through a link for reading: %+v, %v", done, err)
	}
	kept := map[string]bool{tree.ID(l.entry("a", "").Capability): true, tree.ID(l.entry("snapshot", "").Capability): true}
	done, err = l.StoreAnew(t.Context(), l.root, "", grid.AnewOptions{Thin: before, Keep: func(id string) bool { return kept[id] }})
	if err != nil || len(done.Left) != 1 || !errors.Is(done.Left[tree.ID(l.entry("snapshot", "").Capability)], grid.ErrKept) {
		t.Fatalf("%+v, %v", done, err)
	}
	_, paths := l.thin(grid.TreeOptions{})
	if want := []string{"a/b", "a/changes", "a/large", "a/private", "snapshot", "snapshot/inner", "snapshot/inner/y"}; !slices.Equal(paths, want) {
		t.Errorf("thin are %q, want %q", paths, want)
	}
}

// TestStoreAnewFails: without room it ends, and goes on later.
func TestStoreAnewFails(t *testing.T) { synctest.Test(t, testStoreAnewFails) }

func testStoreAnewFails(t *testing.T) {
	l := newLonely(t)
	before, _ := l.thin(grid.TreeOptions{})
	for i := range l.m.servers[1:] {
		l.m.servers[i+1].Down = true
	}
	if done, err := l.StoreAnew(t.Context(), l.root, "", grid.AnewOptions{Thin: before}); err == nil || len(done.Left) > 0 {
		t.Errorf("on one server that answers: %+v, %v", done, err)
	}
	for i := range l.m.servers {
		l.m.servers[i].Down = false
	}
	if _, err := l.StoreAnew(t.Context(), l.root, "", grid.AnewOptions{Thin: before}); err != nil {
		t.Fatal(err)
	}
	if left, paths := l.thin(grid.TreeOptions{}); len(left) > 0 {
		t.Errorf("still thin: %q", paths)
	}
}

// TestStoreAnewApart: where two sides of a partition wrote a file, it is not stored anew: the next version would follow both and have the contents
// of one.
func TestStoreAnewApart(t *testing.T) { synctest.Test(t, testStoreAnewApart) }

func testStoreAnewApart(t *testing.T) {
	l := &lonely{named: &named{t: t}, m: newMembers(20), contents: map[string][]byte{}}
	l.Grid = l.m.grid(t, keys.NewConvergenceSecret())
	c := l.mutable(pattern(1000))
	key, _ := c.WriteKey()
	base, err := l.Files().Read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	all := l.m.servers
	for i, half := range [][]share.Server{all[:10], all[10:]} {
		l.m.servers = half
		if _, err := l.Files().Write(t.Context(), key, base, bytes.NewReader(pattern(2000+i)), mutable.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.m.servers = all
	v, err := l.Files().Read(t.Context(), c)
	if err != nil || len(v.Forks) != 1 {
		t.Fatalf("%d forks, %v", len(v.Forks), err)
	}
	if l.root, err = l.Dirs().Create(t.Context(), dir.Entries(dir.Entry{Name: "changes", Capability: c})); err != nil {
		t.Fatal(err)
	}
	thin := map[share.StorageIndex]share.Params{v.Head.Root: {Needed: 1, Happy: 1, Total: 1}}
	done, err := l.StoreAnew(t.Context(), l.root, "", grid.AnewOptions{Thin: thin})
	if err != nil || done.Files != 0 || !errors.Is(done.Left[tree.ID(c)], grid.ErrApart) {
		t.Errorf("%+v, %v", done, err)
	}
	if after, err := l.Files().Read(t.Context(), c); err != nil || len(after.Forks) != 1 || after.Head.Digest != v.Head.Digest {
		t.Errorf("afterwards it has version %d and %d forks, %v", after.Head.Sequence, len(after.Forks), err)
	}
}

// TestThinBySpread: shares that crowd on one server are copied to others by a repair alone.
func TestThinBySpread(t *testing.T) { synctest.Test(t, testThinBySpread) }

func testThinBySpread(t *testing.T) {
	l := &lonely{named: &named{t: t}, m: newMembers(1), contents: map[string][]byte{}}
	l.Grid = l.m.grid(t, keys.NewConvergenceSecret())
	data := pattern(100000)
	digest := share.Digest(sha256.Sum256(data))
	c := put(t, l.Grid, data, grid.PutOptions{Size: int64(len(data)), Digest: &digest, Params: share.Params{Needed: 1, Happy: 1, Total: 4}}).Capability
	for i := 1; i < 5; i++ {
		l.m.add(i)
	}
	l.root = c
	if found, _ := l.thin(grid.TreeOptions{}); len(found) != 1 {
		t.Fatalf("%d objects are thin, want 1", len(found))
	}
	if found, _ := l.thin(grid.TreeOptions{Repair: true}); len(found) != 0 {
		t.Fatal("it is thin after a repair")
	}
	report, err := l.Check(t.Context(), c, false, nil)
	if err != nil || report.Thin || report.Happiness < report.Wanted || report.Wanted != 4 {
		t.Errorf("%+v, %v", report, err)
	}
}
