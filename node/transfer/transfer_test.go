package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A grid keeps files and folders in memory. It can be told to fail.
type grid struct {
	mu      sync.Mutex
	files   map[string][]byte
	folders map[string][]transfer.Item
	puts    int // files that were stored
	limit   int // how many files it takes, -1: all
	next    byte
	taken   map[string]error                 // why there can be no folder at a path
	made    map[string]capability.Capability // folders by their paths, where they are to grow
}

func newGrid() *grid {
	return &grid{files: map[string][]byte{}, folders: map[string][]transfer.Item{}, limit: -1}
}

// capability returns one that is new.
func (g *grid) capability(folder bool) capability.Capability {
	g.next++
	key := keys.NewReadKey()
	if folder {
		return capability.ImmutableDirectory(share.StorageIndex{g.next}, key)
	}
	return capability.File(share.StorageIndex{g.next}, key)
}

func (g *grid) put(data []byte) (capability.Capability, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit == 0 {
		return capability.Capability{}, share.ErrNoSpace
	}
	g.limit--
	g.puts++
	c := g.capability(false)
	g.files[c.Text()] = data
	return c, nil
}

func (g *grid) PutSmall(_ context.Context, files [][]byte) ([]capability.Capability, error) {
	var caps []capability.Capability
	for _, data := range files {
		c, err := g.put(data)
		if err != nil {
			return nil, err
		}
		caps = append(caps, c)
	}
	return caps, nil
}

func (g *grid) Put(_ context.Context, file io.ReadSeeker, size int64) (capability.Capability, error) {
	data, err := io.ReadAll(file)
	if err != nil || int64(len(data)) != size {
		return capability.Capability{}, fmt.Errorf("read %d of %d bytes: %w", len(data), size, err)
	}
	return g.put(data)
}

func (g *grid) Folder(_ context.Context, folder localtree.Entry, items []transfer.Item) (capability.Capability, []localtree.Problem, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if problem := g.taken[folder.Path]; problem != nil {
		return capability.Capability{}, nil, problem
	}
	if g.made == nil {
		c := g.capability(true)
		g.folders[c.Text()] = items
		return c, nil, nil
	}
	c, ok := g.made[folder.Path]
	if !ok {
		c = g.capability(true)
		g.made[folder.Path] = c
	}
	g.folders[c.Text()] = append(g.folders[c.Text()], items...)
	return c, nil, nil
}

func (g *grid) List(_ context.Context, folder capability.Capability, after string, limit int) ([]transfer.Item, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	items, ok := g.folders[folder.Text()]
	if !ok {
		return nil, share.ErrNotFound
	}
	i, _ := slices.BinarySearchFunc(items, after+"\x00", func(it transfer.Item, name string) int { return strings.Compare(it.Name, name) })
	return items[i:min(len(items), i+limit)], nil
}

func (g *grid) get(c capability.Capability) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if data, ok := g.files[c.Text()]; ok {
		return data, nil
	}
	return nil, share.ErrNotFound
}

func (g *grid) GetSmall(_ context.Context, files []capability.Capability) ([][]byte, []error, error) {
	contents, errs := make([][]byte, len(files)), make([]error, len(files))
	for i, c := range files {
		contents[i], errs[i] = g.get(c)
	}
	return contents, errs, nil
}

func (g *grid) Get(_ context.Context, c capability.Capability, w io.Writer) error {
	data, err := g.get(c)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// A memory remembers everything.
type memory struct {
	sync.Mutex
	files map[string]localtree.Entry
	caps  map[string]capability.Capability
}

func newMemory() *memory {
	return &memory{files: map[string]localtree.Entry{}, caps: map[string]capability.Capability{}}
}

func (m *memory) Stored(e localtree.Entry) (capability.Capability, bool) {
	m.Lock()
	defer m.Unlock()
	earlier, ok := m.files[e.Path]
	return m.caps[e.Path], ok && e.Same(earlier)
}

func (m *memory) Remember(e localtree.Entry, c capability.Capability) error {
	m.Lock()
	defer m.Unlock()
	m.files[e.Path], m.caps[e.Path] = e, c
	return nil
}

func up(t *testing.T, dir string, g *grid, m *memory) (transfer.Result, error) {
	t.Helper()
	tree, err := localtree.Open(dir, localtree.Options{})
	must(t, err)
	defer tree.Close()
	return transfer.Up(t.Context(), transfer.UpOptions{Tree: tree, Store: g, Folders: g, Memory: m, Name: lower})
}

// lower takes the place of the rule for names: upper and lower case letters are the same, and "bad" is none.
func lower(name string) (string, error) {
	if name == "bad" {
		return "", errors.New("a bad name")
	}
	return strings.ToLower(name), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(data), 0o644))
	}
}

// contents reads a tree back, with what a name does not say.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		must(t, err)
		info, err := os.Lstat(p)
		must(t, err)
		rel, _ := filepath.Rel(dir, p)
		when := info.ModTime().UTC().Format(time.RFC3339Nano)
		switch {
		case d.IsDir() && rel == ".":
		case d.IsDir():
			all[rel] = "folder " + when
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			must(t, err)
			all[rel] = "link " + target
		default:
			data, err := os.ReadFile(p)
			must(t, err)
			all[rel] = fmt.Sprintf("%s %v %s", when, info.Mode()&0o100 != 0, data)
		}
		return nil
	}))
	return all
}

func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"empty": "", "large": strings.Repeat("x", transfer.SmallFile+1), "a/b/c/deep": "deep"}
	for i := range 700 {
		files[fmt.Sprintf("many/%03d", i)] = fmt.Sprint("number ", i)
	}
	write(t, dir, files)
	must(t, os.Chmod(filepath.Join(dir, "a", "b", "c", "deep"), 0o755))
	must(t, os.Symlink("../nowhere", filepath.Join(dir, "a", "link")))
	must(t, os.Mkdir(filepath.Join(dir, "hollow"), 0o755))
	when := time.Date(2001, 2, 3, 4, 5, 6, 789000, time.UTC)
	for _, p := range []string{"empty", "many", "a/b"} {
		must(t, os.Chtimes(filepath.Join(dir, p), when, when))
	}
	return dir
}

func TestThereAndBack(t *testing.T) {
	dir, g := sample(t), newGrid()
	result, err := up(t, dir, g, newMemory())
	must(t, err)
	if c := result.Counts; c.Files != 704 || c.Folders != 6 || c.Moved != 704 || c.Problems != 0 {
		t.Errorf("counts %+v", c)
	}
	target := filepath.Join(t.TempDir(), "new")
	for _, again := range []int64{704, 0} { // the second time there is nothing to do
		got, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: result.Root, Target: target})
		must(t, err)
		if got.Counts.Moved != again || got.Counts.Files != 704 || len(got.Problems) > 0 {
			t.Errorf("counts %+v, problems %v; want %d moved", got.Counts, got.Problems, again)
		}
		if want, have := contents(t, dir), contents(t, target); !maps.Equal(want, have) {
			t.Errorf("the copy differs: %d entries, want %d", len(have), len(want))
			for p, w := range want {
				if have[p] != w {
					t.Errorf("%s: %.80q, want %.80q", p, have[p], w)
				}
			}
		}
	}
}

func TestOnlyWhatChanged(t *testing.T) {
	dir, g, m := sample(t), newGrid(), newMemory()
	_, err := up(t, dir, g, m)
	must(t, err)
	write(t, dir, map[string]string{"many/007": "changed", "new": "new"})
	result, err := up(t, dir, g, m)
	must(t, err)
	if c := result.Counts; c.Moved != 2 || c.Same != 703 || c.Files != 705 {
		t.Errorf("counts %+v", c)
	}
}

// TestFullGrid fails in the middle and goes on from there.
func TestFullGrid(t *testing.T) {
	dir, g, m := sample(t), newGrid(), newMemory()
	g.limit = 300
	result, err := up(t, dir, g, m)
	if !errors.Is(err, share.ErrNoSpace) || !result.Root.IsZero() {
		t.Fatalf("error %v, root %v", err, result.Root)
	}
	stored := len(m.caps)
	g.limit = -1
	result, err = up(t, dir, g, m)
	must(t, err)
	if stored == 0 || result.Counts.Same != int64(stored) {
		t.Errorf("%d files were stored, %d of them used", stored, result.Counts.Same)
	}
}

// A slow store takes one batch at a time, and a minute for it.
type slow struct {
	*grid
	turn chan struct{}
}

func (s slow) PutSmall(ctx context.Context, files [][]byte) ([]capability.Capability, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	time.Sleep(time.Minute)
	return s.grid.PutSmall(ctx, files)
}

// TestPlacedNowAndThen: while a large tree is being stored, what is there already has its name, and so it has when storing fails.
func TestPlacedNowAndThen(t *testing.T) {
	dir := sample(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid()
		g.made, g.limit = map[string]capability.Capability{}, 600
		tree, err := localtree.Open(dir, localtree.Options{})
		must(t, err)
		defer tree.Close()
		o := transfer.UpOptions{Tree: tree, Store: slow{g, make(chan struct{}, 1)}, Folders: g, Memory: newMemory(), Name: lower, Every: 90 * time.Second}
		seen := 0
		o.Progress = func(transfer.Counts) {
			if seen == 0 {
				g.mu.Lock()
				defer g.mu.Unlock()
				seen = len(g.folders[g.made["many"].Text()])
			}
		}
		if _, err := transfer.Up(t.Context(), o); !errors.Is(err, share.ErrNoSpace) {
			t.Fatal(err)
		}
		root := g.folders[g.made["."].Text()]
		if !slices.ContainsFunc(root, func(it transfer.Item) bool { return it.Name == "many" && it.Capability.Equal(g.made["many"]) }) {
			t.Errorf("the folder has no name: %+v", root)
		}
		if got := len(g.folders[g.made["many"].Text()]); seen == 0 || got <= seen || got >= 700 {
			t.Errorf("%d of 700 files had a name in the middle, %d at the end", seen, got)
		}
		g.limit = -1
		result, err := transfer.Up(t.Context(), o)
		must(t, err)
		for path, want := range map[string]int{".": 5, "many": 700, "a": 2, "a/b": 1, "hollow": 0} {
			names := map[string]bool{}
			for _, it := range g.folders[g.made[path].Text()] {
				names[it.Name] = true
			}
			if len(names) != want {
				t.Errorf("%s has %d names, want %d", path, len(names), want)
			}
		}
		if c := result.Counts; c.Folders != 6 || c.Files != 704 || c.Moved == 704 {
			t.Errorf("counts %+v", c)
		}
	})
}

// TestReplacedMeanwhile: a file that something else takes the place of while it waits is named as one that changed.
func TestReplacedMeanwhile(t *testing.T) {
	dir, g := t.TempDir(), newGrid()
	write(t, dir, map[string]string{"folder": "small", "link": "small", "large": strings.Repeat("x", transfer.SmallFile+1), "stays": "small"})
	tree, err := localtree.Open(dir, localtree.Options{})
	must(t, err)
	defer tree.Close()
	replace := func(name string) (string, error) { // the walk asks for each name before the file is read
		if name != "stays" && name != "." {
			must(t, os.Remove(filepath.Join(dir, name)))
			if name == "folder" {
				must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
			} else {
				must(t, os.Symlink("/etc/passwd", filepath.Join(dir, name)))
			}
		}
		return name, nil
	}
	asked := map[string]bool{}
	once := func(name string) (string, error) {
		if asked[name] {
			return name, nil
		}
		asked[name] = true
		return replace(name)
	}
	result, err := transfer.Up(t.Context(), transfer.UpOptions{Tree: tree, Store: g, Folders: g, Memory: newMemory(), Name: once})
	must(t, err)
	for _, p := range result.Problems {
		if !errors.Is(p, localtree.ErrChanged) {
			t.Errorf("%v", p)
		}
	}
	if c := result.Counts; c.Files != 1 || c.Problems != 3 {
		t.Errorf("counts %+v, problems %v", c, result.Problems)
	}
}

// TestFolderInTheWay: what cannot be a folder is passed over, and named once.
func TestFolderInTheWay(t *testing.T) {
	dir, g := sample(t), newGrid()
	inTheWay := localtree.Problem{Path: "a/b", Err: errors.New("a file")}
	g.made, g.taken = map[string]capability.Capability{}, map[string]error{"a/b": inTheWay, "a/b/c": inTheWay}
	result, err := up(t, dir, g, newMemory())
	must(t, err)
	if len(result.Problems) != 1 || result.Problems[0].Path != "a/b" || result.Counts.Folders != 4 {
		t.Errorf("problems %v, counts %+v", result.Problems, result.Counts)
	}
	items, err := g.List(t.Context(), g.made["a"], "", 10)
	must(t, err)
	if len(items) != 1 || items[0].Name != "link" {
		t.Errorf("beside it: %+v", items)
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"one": "1", "ONE": "2", "bad": "", "Two/x": "", "two/y": "", "sub/bad/z": ""})
	g := newGrid()
	result, err := up(t, dir, g, newMemory())
	must(t, err)
	var got []string
	for _, p := range result.Problems {
		got = append(got, p.Path)
	}
	if want := []string{"bad", "one", "sub/bad", "two"}; !slices.Equal(got, want) || result.Counts.Problems != 4 {
		t.Errorf("problems %q, want %q", got, want)
	}
	items, err := g.List(t.Context(), result.Root, "", 10)
	must(t, err)
	if len(items) != 3 || items[0].Name != "one" || items[1].Name != "sub" || items[2].Name != "two" {
		t.Errorf("stored %+v", items)
	}
}

func TestCycle(t *testing.T) {
	g := newGrid()
	root := g.capability(true)
	inner := g.capability(true)
	file, err := g.put([]byte("data"))
	must(t, err)
	g.folders[root.Text()] = []transfer.Item{{Name: "in", Kind: localtree.Folder, Capability: inner}}
	g.folders[inner.Text()] = []transfer.Item{{Name: "file", Capability: file}, {Name: "up", Kind: localtree.Folder, Capability: root}}
	dir := t.TempDir()
	result, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir})
	must(t, err)
	if len(result.Problems) != 1 || result.Problems[0].Path != "in/up" || !errors.Is(result.Problems[0], transfer.ErrCycle) {
		t.Errorf("problems %v", result.Problems)
	}
	if _, err := os.Stat(filepath.Join(dir, "in", "file")); err != nil {
		t.Error(err)
	}
}

// TestCycleOfRights: a folder that holds itself with fewer rights holds itself.
func TestCycleOfRights(t *testing.T) {
	g := newGrid()
	root := capability.Directory(keys.NewWriteKey())
	read, err := root.Read()
	must(t, err)
	g.folders[root.Text()] = []transfer.Item{{Name: "self", Kind: localtree.Folder, Capability: read}}
	g.folders[read.Text()] = g.folders[root.Text()]
	result, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: t.TempDir()})
	must(t, err)
	if len(result.Problems) != 1 || result.Problems[0].Path != "self" || result.Counts.Folders != 1 {
		t.Errorf("problems %v, counts %+v", result.Problems, result.Counts)
	}
}

// TestLinksInTheWay: neither a link below the target nor one that has the name of the copy is followed.
func TestLinksInTheWay(t *testing.T) {
	g := newGrid()
	file, err := g.put([]byte("data"))
	must(t, err)
	sub, root := g.capability(true), g.capability(true)
	g.folders[sub.Text()] = []transfer.Item{{Name: "planted", Capability: file, Size: 4}}
	g.folders[root.Text()] = []transfer.Item{{Name: "beside", Capability: file, Size: 4}, {Name: "sub", Kind: localtree.Folder, Capability: sub}}
	outside, dir := t.TempDir(), t.TempDir()
	write(t, dir, map[string]string{"inside/x": ""})
	for _, to := range []string{outside, "inside", "nowhere"} {
		o := transfer.DownOptions{Source: g, Root: root, Target: dir, Name: "copy"}
		must(t, os.Symlink(to, filepath.Join(dir, "copy")))
		if _, err := transfer.Down(t.Context(), o); err == nil {
			t.Errorf("copy leads to %s, and was followed", to)
		}
		must(t, os.Remove(filepath.Join(dir, "copy")))
		must(t, os.MkdirAll(filepath.Join(dir, "copy"), 0o755))
		must(t, os.Symlink(to, filepath.Join(dir, "copy", "sub")))
		result, err := transfer.Down(t.Context(), o)
		must(t, err)
		if len(result.Problems) != 1 || result.Problems[0].Path != "sub" || result.Counts.Files != 1 {
			t.Errorf("copy/sub leads to %s: problems %v, counts %+v", to, result.Problems, result.Counts)
		}
		must(t, os.RemoveAll(filepath.Join(dir, "copy")))
	}
	if got := contents(t, outside); len(got) > 0 {
		t.Errorf("written outside of the target: %v", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "inside", "planted")); err == nil {
		t.Error("a link within the target was followed")
	}
	for _, name := range []string{"..", "a/b", "nul\x00"} {
		if _, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir, Name: name}); !errors.Is(err, transfer.ErrForeignName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestHostileNames has a folder whose names would leave the target.
func TestHostileNames(t *testing.T) {
	g := newGrid()
	file, err := g.put([]byte("data"))
	must(t, err)
	sub := g.capability(true)
	g.folders[sub.Text()] = []transfer.Item{{Name: "planted", Capability: file}}
	root := g.capability(true)
	var items []transfer.Item
	for _, name := range []string{"..", "../up", "/abs", "a/b", "nul\x00"} {
		items = append(items, transfer.Item{Name: name, Capability: file})
	}
	items = append(items, transfer.Item{Name: "out", Kind: localtree.Folder, Capability: sub})
	g.folders[root.Text()] = items
	outside, dir := t.TempDir(), t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	result, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir})
	must(t, err)
	if len(result.Problems) != len(items) {
		t.Errorf("problems %v", result.Problems)
	}
	if got := contents(t, outside); len(got) > 0 {
		t.Errorf("written outside of the target: %v", got)
	}
}

// TestNamesThatFold: on a disk that does not tell them apart, the second of two names is named and does not replace the first.
func TestNamesThatFold(t *testing.T) {
	g := newGrid()
	root, sub := g.capability(true), g.capability(true)
	var items []transfer.Item
	for _, name := range []string{"A", "STRASSE", "a", "b", "k", "straße", "É", "é", "\u212a"} { // the last is a Kelvin sign
		file, err := g.put([]byte(name))
		must(t, err)
		items = append(items, transfer.Item{Name: name, Capability: file, Size: int64(len(name))})
	}
	g.folders[sub.Text()] = items
	g.folders[root.Text()] = append(slices.Clone(items), transfer.Item{Name: "sub", Kind: localtree.Folder, Capability: sub})
	for folding, want := range map[bool][]string{true: {"a", "sub/a", "sub/é", "sub/\u212a", "é", "\u212a"}, false: nil} {
		dir := t.TempDir()
		result, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir, Folding: folding})
		must(t, err)
		var got []string
		for _, p := range result.Problems {
			got = append(got, p.Path)
			if !errors.Is(p, transfer.ErrSameName) {
				t.Error(p)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("folding %v: problems %q, want %q", folding, got, want)
		}
		if all := contents(t, dir); len(all) != 19-len(want) {
			t.Errorf("folding %v: %d entries on disk: %v", folding, len(all), all)
		}
	}
}

func TestKeepExisting(t *testing.T) {
	g := newGrid()
	file, err := g.put([]byte("theirs"))
	must(t, err)
	root := g.capability(true)
	g.folders[root.Text()] = []transfer.Item{{Name: "file", Capability: file, Size: 6}}
	dir := t.TempDir()
	write(t, dir, map[string]string{"file": "mine"})
	for keep, want := range map[bool]string{true: "mine", false: "theirs"} {
		write(t, dir, map[string]string{"file": "mine"})
		_, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir, KeepExisting: keep})
		must(t, err)
		if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("keep %v: %q, %v", keep, got, err)
		}
	}
}

// TestRepeats ends a copy of folders that lead to each other by many ways, and copies what is in two places twice.
func TestRepeats(t *testing.T) {
	g := newGrid()
	const levels = 40 // with two ways from each to the next one, and a file in the last
	file, err := g.put([]byte("x"))
	must(t, err)
	at := g.capability(true)
	g.folders[at.Text()] = []transfer.Item{{Name: "file", Capability: file, Size: 1}}
	small := at
	for i := range levels {
		next := g.capability(true)
		g.folders[next.Text()] = []transfer.Item{{Name: "a", Kind: localtree.Folder, Capability: at}, {Name: "b", Kind: localtree.Folder, Capability: at}}
		if at = next; i == 1 {
			small = next
		}
	}
	dir := t.TempDir()
	o := transfer.DownOptions{Source: g, Root: small, Target: dir, Repeats: 4} // a/b, b, b/a and b/b hold 1, 2, 1 and 1 entries
	_, err = transfer.Down(t.Context(), o)
	if _, ok := errors.AsType[*transfer.RepeatsError](err); !ok {
		t.Errorf("more repeats than are wanted: %v", err)
	}
	o.Repeats = 5
	result, err := transfer.Down(t.Context(), o)
	if err != nil || result.Counts.Files != 4 || len(contents(t, dir)) != 10 {
		t.Errorf("as many repeats as there are: %v, %+v, on disk: %v", err, result.Counts, contents(t, dir))
	}
	o.Root, o.Target, o.Repeats = at, t.TempDir(), 100
	_, err = transfer.Down(t.Context(), o)
	if bomb, ok := errors.AsType[*transfer.RepeatsError](err); !ok || bomb.Limit != 100 {
		t.Errorf("a folder without end: %v", err)
	}
}

// TestOmit leaves names at the top out, and no others.
func TestOmit(t *testing.T) {
	g := newGrid()
	file, err := g.put([]byte("x"))
	must(t, err)
	items := []transfer.Item{{Name: "no", Capability: file, Size: 1}, {Name: "yes", Capability: file, Size: 1}}
	root, sub := g.capability(true), g.capability(true)
	g.folders[sub.Text()] = items
	g.folders[root.Text()] = append(slices.Clone(items), transfer.Item{Name: "sub", Kind: localtree.Folder, Capability: sub})
	dir := t.TempDir()
	_, err = transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir, Omit: []string{"no"}})
	must(t, err)
	if got := slices.Sorted(maps.Keys(contents(t, dir))); !slices.Equal(got, []string{"sub", "sub/no", "sub/yes", "yes"}) {
		t.Errorf("on disk: %v", got)
	}
}

// TestUnfinished removes what a copy that was killed left behind, at the top and below.
func TestUnfinished(t *testing.T) {
	g := newGrid()
	file, err := g.put([]byte("x"))
	must(t, err)
	root, sub := g.capability(true), g.capability(true)
	g.folders[sub.Text()] = []transfer.Item{{Name: "file", Capability: file, Size: 1}}
	g.folders[root.Text()] = []transfer.Item{{Name: "sub", Kind: localtree.Folder, Capability: sub}}
	dir := t.TempDir()
	unfinished := ".cairn-" + strings.Repeat("Z", 26)
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	old := time.Now().Add(-24 * time.Hour)
	for _, name := range []string{unfinished, "sub/" + unfinished} {
		write(t, dir, map[string]string{name: "half of it"})
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	_, err = transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir})
	must(t, err)
	if got := slices.Sorted(maps.Keys(contents(t, dir))); !slices.Equal(got, []string{"sub", "sub/file"}) {
		t.Errorf("on disk: %v", got)
	}
}

// TestMissingFile leaves no trace of a file that cannot be read, and everything else.
func TestMissingFile(t *testing.T) {
	g := newGrid()
	good, err := g.put([]byte("good"))
	must(t, err)
	root, gone := g.capability(true), g.capability(false)
	g.folders[root.Text()] = []transfer.Item{
		{Name: "gone", Capability: gone, Size: 4},
		{Name: "good", Capability: good, Size: 4},
		{Name: "large", Capability: gone, Size: transfer.SmallFile + 1},
	}
	dir := t.TempDir()
	result, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: dir})
	must(t, err)
	if len(result.Problems) != 2 || !errors.Is(result.Problems[0], share.ErrNotFound) {
		t.Errorf("problems %v", result.Problems)
	}
	if got := contents(t, dir); len(got) != 1 || got["good"] == "" {
		t.Errorf("on disk: %v", got)
	}
	if _, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: gone, Target: dir}); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("no such folder: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tree, err := localtree.Open(sample(t), localtree.Options{})
	must(t, err)
	defer tree.Close()
	g := newGrid()
	o := transfer.UpOptions{Tree: tree, Store: g, Folders: g, Memory: newMemory(), Name: lower}
	if _, err := transfer.Up(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("up: %v", err)
	}
	if _, err := transfer.Down(ctx, transfer.DownOptions{Source: g, Root: g.capability(true), Target: t.TempDir()}); err == nil {
		t.Error("down: no error")
	}
}
