package transfer_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/node/transfer"
)

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestTemporary: a file is there when it is complete, with its time, or not at all, and no error shows the name that nobody asked for.
func TestTemporary(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, dir, map[string]string{"file": "old"})
	for _, complete := range []bool{false, true} {
		f, err := transfer.NewTemporary(transfer.Paths{}, path, 0o600)
		must(t, err)
		_, err = f.Write([]byte("new"))
		must(t, err)
		if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
			t.Errorf("before the end: %q, %v", data, err)
		}
		modified := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		if !complete {
			f.Discard()
			continue
		}
		must(t, f.Commit(modified))
		info, err := os.Stat(path)
		must(t, err)
		if !info.ModTime().Equal(modified) || info.Size() != 3 {
			t.Errorf("%v, %d bytes", info.ModTime(), info.Size())
		}
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"file"}) {
		t.Errorf("left: %q", names)
	}

	// What has the name is a folder, there is no folder, the file was closed: the error names the file.
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	f, err := transfer.NewTemporary(transfer.Paths{}, filepath.Join(dir, "folder"), 0o600)
	must(t, err)
	inTheWay := f.Commit(time.Time{})
	_, closed := f.Write([]byte("x"))
	_, nowhere := transfer.NewTemporary(transfer.Paths{}, filepath.Join(dir, "nowhere", "file"), 0o600)
	link := transfer.PutLink(transfer.Paths{}, "target", filepath.Join(dir, "folder"))
	for _, err := range []error{inTheWay, closed, nowhere, link} {
		if err == nil || strings.Contains(err.Error(), ".cairn-") || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v", err)
		}
	}
	if !errors.Is(nowhere, fs.ErrNotExist) {
		t.Errorf("no folder: %v", nowhere)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"file", "folder"}) {
		t.Errorf("left: %q", names)
	}
}

// TestSweep removes what a program that was killed left behind, and nothing that is being written or belongs to somebody else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	stale := ".cairn-" + strings.Repeat("A", 26)
	mine := []string{".cairn", ".cairn-aaaa", ".cairn-" + strings.Repeat("A", 27), stale + ".txt", "file"}
	for _, name := range append(mine, stale, ".cairn-a"+strings.Repeat("b", 26)) {
		write(t, dir, map[string]string{name: "x"})
		old := time.Now().Add(-24 * time.Hour)
		must(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	must(t, os.Mkdir(filepath.Join(dir, ".cairn-"+strings.Repeat("D", 26)), 0o700))
	must(t, os.Symlink("x", filepath.Join(dir, ".cairn-"+strings.Repeat("L", 26)))) // it gets its name in this moment, perhaps
	writing, err := transfer.NewTemporary(transfer.Paths{}, filepath.Join(dir, "later"), 0o600)
	must(t, err)

	transfer.Sweep(transfer.Paths{}, dir)
	transfer.Sweep(transfer.Paths{}, filepath.Join(dir, "nowhere"))
	must(t, writing.Commit(time.Time{}))
	want := append(mine, ".cairn-"+strings.Repeat("D", 26), ".cairn-"+strings.Repeat("L", 26), "later")
	slices.Sort(want)
	if names := namesIn(t, dir); !slices.Equal(names, want) {
		t.Errorf("there is %q, want %q", names, want)
	}
}
