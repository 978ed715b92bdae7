package localtree_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/node/localtree"
)

// log is a visitor that writes down what it is told.
type log struct {
	lines    []string
	entries  map[string]localtree.Entry
	problems []localtree.Problem
	stop     string // the path at which it ends the walk
}

var errStop = errors.New("stop")

func (l *log) add(sign string, e localtree.Entry) error {
	l.lines = append(l.lines, sign+e.Path)
	if l.entries == nil {
		l.entries = map[string]localtree.Entry{}
	}
	l.entries[e.Path] = e
	if l.stop == e.Path {
		return errStop
	}
	return nil
}

func (l *log) Enter(e localtree.Entry) error { return l.add("+", e) }
func (l *log) Visit(e localtree.Entry) error { return l.add(" ", e) }
func (l *log) Leave(e localtree.Entry) error { return l.add("-", e) }
func (l *log) Problem(p localtree.Problem)   { l.problems = append(l.problems, p) }
func (l *log) String() string                { return strings.Join(l.lines, "\n") }
func (l *log) has(path string) bool          { _, ok := l.entries[path]; return ok }
func walk(t *testing.T, dir string, o localtree.Options) *log {
	t.Helper()
	l := &log{}
	if err := open(t, dir, o).Walk(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t *testing.T, dir string, o localtree.Options) *localtree.Tree {
	t.Helper()
	tree, err := localtree.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// makeTree writes files whose contents are their paths; a path with a slash at its end is a folder.
func makeTree(t *testing.T, paths ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if strings.HasSuffix(p, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(p), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOrder(t *testing.T) {
	dir := makeTree(t, "b/two", "a/deep/er/x", "a/one", "c", "empty/", "a.txt")
	want := "+.\n+a\n+a/deep\n+a/deep/er\n a/deep/er/x\n-a/deep/er\n-a/deep\n a/one\n-a\n a.txt\n+b\n b/two\n-b\n c\n+empty\n-empty\n-."
	if got := walk(t, dir, localtree.Options{}).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEntries(t *testing.T) {
	dir := makeTree(t, "plain", "run")
	must(t, os.Chmod(filepath.Join(dir, "run"), 0o755))
	when := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	must(t, os.Chtimes(filepath.Join(dir, "plain"), when, when))
	must(t, os.Symlink("../outside", filepath.Join(dir, "link")))
	l := walk(t, dir, localtree.Options{})
	plain, run, link := l.entries["plain"], l.entries["run"], l.entries["link"]
	if plain.Size != 5 || !plain.Modified.Equal(when) || plain.Executable || plain.Kind != localtree.File {
		t.Errorf("plain: %+v", plain)
	}
	if !run.Executable {
		t.Error("run is not executable")
	}
	if link.Kind != localtree.Link || link.Target != "../outside" {
		t.Errorf("link: %+v", link)
	}
}

// TestLinksAreNotFollowed has links that lead in circles and out of the tree.
func TestLinksAreNotFollowed(t *testing.T) {
	outside := makeTree(t, "secret")
	dir := makeTree(t, "in/file")
	must(t, os.Symlink(".", filepath.Join(dir, "in", "loop")))
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	l := walk(t, dir, localtree.Options{})
	if want := "+.\n+in\n in/file\n in/loop\n-in\n out\n-."; l.String() != want || len(l.problems) > 0 {
		t.Errorf("got\n%s\nproblems %v", l, l.problems)
	}
}

// TestSwappedForALink replaces a file by a link to a secret after the walk has seen it.
func TestSwappedForALink(t *testing.T) {
	outside := makeTree(t, "secret")
	dir := makeTree(t, "file")
	tree := open(t, dir, localtree.Options{})
	l := &log{}
	must(t, tree.Walk(t.Context(), l))
	must(t, os.Remove(filepath.Join(dir, "file")))
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file")))
	if s, err := tree.Open(l.entries["file"]); err == nil {
		data, _ := io.ReadAll(s)
		t.Fatalf("read %q through a link that leads out of the tree", data)
	}
}

func TestChanged(t *testing.T) {
	dir := makeTree(t, "a", "b", "c")
	tree := open(t, dir, localtree.Options{})
	l := &log{}
	must(t, tree.Walk(t.Context(), l))
	s, err := tree.Open(l.entries["a"])
	must(t, err)
	defer s.Close()
	must(t, s.Check())
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("longer than before"), 0o644))
	if err := s.Check(); !errors.Is(err, localtree.ErrChanged) {
		t.Errorf("written to: %v", err)
	}
	must(t, os.Rename(filepath.Join(dir, "c"), filepath.Join(dir, "b")))
	if _, err := tree.Open(l.entries["b"]); !errors.Is(err, localtree.ErrChanged) {
		t.Errorf("another file in its place: %v", err)
	}
	if _, err := tree.Open(l.entries["."]); !errors.Is(err, localtree.ErrKind) {
		t.Errorf("a folder: %v", err)
	}
}

func TestDeep(t *testing.T) {
	dir := t.TempDir()
	at, err := os.OpenRoot(dir)
	must(t, err)
	for range localtree.MaxDepth + 5 {
		must(t, at.Mkdir("d", 0o755))
		next, err := at.OpenRoot("d")
		must(t, err)
		at.Close()
		at = next
	}
	at.Close()
	l := walk(t, dir, localtree.Options{})
	if len(l.problems) != 1 || !errors.Is(l.problems[0], localtree.ErrDepth) {
		t.Errorf("%d problems, first %.200s", len(l.problems), fmt.Sprint(l.problems))
	}
}

func TestStopsAtTheFirstError(t *testing.T) {
	dir := makeTree(t, "a/b", "c")
	l := &log{stop: "a/b"}
	if err := open(t, dir, localtree.Options{}).Walk(t.Context(), l); !errors.Is(err, errStop) || l.has("c") {
		t.Errorf("error %v, visited\n%s", err, l)
	}
}

func TestLeavesOut(t *testing.T) {
	dir := makeTree(t, "keep", "big", "cache/CACHEDIR.TAG", "cache/thing", "fake/CACHEDIR.TAG", "fake/thing", "x.o", "src/y.o", "src/z.c")
	must(t, os.WriteFile(filepath.Join(dir, "big"), make([]byte, 1000), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "cache", "CACHEDIR.TAG"), []byte("Signature: 8a477f597d28d172789f06886806bc55\n"), 0o644))
	l := walk(t, dir, localtree.Options{Exclude: []string{"*.o"}, Caches: true, Larger: 999})
	var got []string
	for p, e := range l.entries {
		if e.Kind == localtree.File {
			got = append(got, p)
		}
	}
	slices.Sort(got)
	if want := []string{"fake/CACHEDIR.TAG", "fake/thing", "keep", "src/z.c"}; !slices.Equal(got, want) || !l.has("cache") {
		t.Errorf("visited %q, want %q, and the cache as an empty folder", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := makeTree(t, "file")
	if _, err := localtree.Open(filepath.Join(dir, "file"), localtree.Options{}); !errors.Is(err, localtree.ErrNoFolder) {
		t.Errorf("a file: %v", err)
	}
	if _, err := localtree.Open(filepath.Join(dir, "none"), localtree.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	var bad *localtree.PatternError
	if _, err := localtree.Open(dir, localtree.Options{Exclude: []string{"[a"}}); !errors.As(err, &bad) || bad.Pattern != "[a" {
		t.Errorf("a bad pattern: %v", err)
	}
}
