package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/node"
	"cairn/share"
)

func TestRootKey(t *testing.T) {
	dir := newDir(t)
	path := filepath.Join(dir.Path(), "home")
	first, err := dir.RootKey()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the root directory's key: %v, %v; want a file of mode 0600", info, err)
	}
	if again, err := dir.RootKey(); err != nil || again != first {
		t.Errorf("read again it is another key: %v", err)
	}
	if other, err := newDir(t).RootKey(); err != nil || other == first {
		t.Errorf("two nodes have the same root directory, %v", err)
	}

	// A node of an earlier version has none.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	made, err := dir.RootKey()
	if err != nil || made == first {
		t.Errorf("made anew it is the same key, %v", err)
	}
	if again, err := dir.RootKey(); err != nil || again != made {
		t.Errorf("the key that was made was not kept: %v", err)
	}
}

func TestDamagedRootKey(t *testing.T) {
	dir := newDir(t)
	path := filepath.Join(dir.Path(), "home")
	line, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, line[:len(line)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = dir.RootKey(); !errors.Is(err, share.ErrCorrupt) || strings.Contains(err.Error(), string(line[20:30])) {
		t.Errorf("a damaged key gives %v, want ErrCorrupt and none of the key", err)
	}
	if left, _ := os.ReadFile(path); len(left) != len(line)-3 {
		t.Error("a damaged key was replaced")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := node.OpenDir(dir.Path()); !errors.Is(err, node.ErrExposed) {
		t.Errorf("a key that others can read gives %v, want ErrExposed", err)
	}
}
