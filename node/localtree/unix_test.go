//go:build unix

package localtree_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"cairn/node/localtree"
)

// TestOddThings has everything in a folder that cannot be stored: each is named, and nothing blocks.
func TestOddThings(t *testing.T) {
	dir := makeTree(t, "file", "shut/inside")
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(t, err)
	defer listener.Close()
	want := map[string]error{"pipe": localtree.ErrKind, "socket": localtree.ErrKind}
	if runtime.GOOS == "linux" { // others do not let such a name be
		must(t, os.WriteFile(filepath.Join(dir, "bad\xffname"), nil, 0o644))
		want["bad\uFFFDname"] = localtree.ErrName
	}
	if os.Getuid() != 0 { // root reads everything
		must(t, os.Chmod(filepath.Join(dir, "shut"), 0))
		defer os.Chmod(filepath.Join(dir, "shut"), 0o755)
		want["shut"] = syscall.EACCES
	}
	l := walk(t, dir, localtree.Options{})
	for _, p := range l.problems {
		if !errors.Is(p, want[p.Path]) || want[p.Path] == nil {
			t.Errorf("unexpected problem: %v", p)
		}
		delete(want, p.Path)
	}
	if len(want) > 0 || !l.has("file") {
		t.Errorf("not told: %v; file visited: %v", want, l.has("file"))
	}
}

// TestPipeInAFilesPlace must not wait for somebody who writes.
func TestPipeInAFilesPlace(t *testing.T) {
	dir := makeTree(t, "file")
	tree := open(t, dir, localtree.Options{})
	l := &log{}
	must(t, tree.Walk(t.Context(), l))
	must(t, os.Remove(filepath.Join(dir, "file")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "file"), 0o644))
	if _, err := tree.Open(l.entries["file"]); !errors.Is(err, localtree.ErrChanged) {
		t.Errorf("opened a pipe: %v", err)
	}
}

// TestLinkInAFilesPlace: wherever it leads, it is not what was visited.
func TestLinkInAFilesPlace(t *testing.T) {
	for _, to := range []string{"/etc/passwd", "../outside", "other", "nowhere", "file"} {
		dir := makeTree(t, "file", "other")
		tree := open(t, dir, localtree.Options{})
		l := &log{}
		must(t, tree.Walk(t.Context(), l))
		must(t, os.Remove(filepath.Join(dir, "file")))
		must(t, os.Symlink(to, filepath.Join(dir, "file")))
		if _, err := tree.Open(l.entries["file"]); !errors.Is(err, localtree.ErrChanged) {
			t.Errorf("a link to %s: %v", to, err)
		}
	}
}

// A swapper puts something else in a folder's place between its being met and being listed.
type swapper struct {
	log
	swap func(at string)
}

func (s *swapper) Enter(e localtree.Entry) error {
	s.swap(e.Path)
	return s.log.Enter(e)
}

// TestSomethingInAFoldersPlace: neither a pipe, which would block, nor a link, which would lead elsewhere, is taken for the folder.
func TestSomethingInAFoldersPlace(t *testing.T) {
	for name, put := range map[string]func(at string) error{
		"pipe": func(at string) error { return syscall.Mkfifo(at, 0o644) },
		"link": func(at string) error { return os.Symlink("other", at) },
	} {
		if name == "link" && runtime.GOOS != "linux" {
			continue // nothing tells one folder from another there
		}
		dir := makeTree(t, "sub/inside", "other/secret")
		s := &swapper{swap: func(at string) {
			if at == "sub" {
				must(t, os.Rename(filepath.Join(dir, "sub"), filepath.Join(dir, "gone")))
				must(t, put(filepath.Join(dir, "sub")))
			}
		}}
		must(t, open(t, dir, localtree.Options{}).Walk(t.Context(), s))
		if s.has("sub/secret") || s.has("sub/inside") || len(s.problems) != 1 || s.problems[0].Path != "sub" {
			t.Errorf("%s: problems %v, visited\n%s", name, s.problems, s)
		}
	}
}

// TestOtherFileSystem walks a folder in which another file system is mounted.
func TestOtherFileSystem(t *testing.T) {
	stat := func(name string) syscall.Stat_t {
		var at syscall.Stat_t
		if err := syscall.Stat(name, &at); err != nil {
			t.Skipf("no file system is mounted in another here: %v", err)
		}
		return at
	}
	if stat("/dev").Dev == stat("/dev/pts").Dev {
		t.Skip("/dev/pts is no file system of its own")
	}
	inside := func(o localtree.Options) (entered, looked bool) {
		l := walk(t, "/dev", o)
		for _, p := range l.problems {
			looked = looked || p.Path == "pts/ptmx"
		}
		return l.has("pts"), looked
	}
	if entered, looked := inside(localtree.Options{}); !entered || !looked {
		t.Errorf("without the option: the folder is there: %v, and what it holds was seen: %v", entered, looked)
	}
	if entered, looked := inside(localtree.Options{OneFileSystem: true}); !entered || looked {
		t.Errorf("with the option: the folder is there: %v, and what it holds was seen: %v", entered, looked)
	}
}
