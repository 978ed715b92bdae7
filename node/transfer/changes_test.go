package transfer_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// Version returns what differs with the contents.
func (g *grid) Version(_ context.Context, c capability.Capability) (capability.Capability, error) {
	data, err := g.get(c)
	return capability.FileVerify(share.IndexOf(data)), err
}

// TestDownRemembersVersions: with a memory, a file that can change is read again when its version is another one, or what is on disk is
// not what was written there.
func TestDownRemembersVersions(t *testing.T) {
	g, m := newGrid(), newMemory()
	file, root := capability.Mutable(keys.NewWriteKey()), capability.ImmutableDirectory(share.StorageIndex{1}, keys.NewReadKey())
	item := transfer.Item{Name: "notes", Kind: localtree.File, Capability: file, Size: 1, Modified: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Changes: true}
	target := t.TempDir()
	at := filepath.Join(target, "notes")
	down := func(what, text string, moved int64) {
		t.Helper()
		g.files[file.Text()], g.folders[root.Text()] = []byte(text), []transfer.Item{item}
		got, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: target, Memory: m})
		must(t, err)
		if c := got.Counts; c.Moved != moved || c.Same != 1-moved || c.Bytes != int64(len(text)) || len(got.Problems) > 0 {
			t.Errorf("%s: counts %+v, problems %v", what, c, got.Problems)
		}
		if have, err := os.ReadFile(at); err != nil || string(have) != text {
			t.Errorf("%s: wrote %q, %v, want %q", what, have, err, text)
		}
	}
	down("nothing is there", "first", 1)
	down("nothing has changed", "first", 0)
	down("a version of the same length", "other", 1)
	down("nothing has changed", "other", 0)
	must(t, os.WriteFile(at, []byte("mine, and longer"), 0o600))
	must(t, os.Chtimes(at, time.Time{}, item.Modified))
	down("it was changed on disk", "other", 1)
	item.Modified = item.Modified.Add(time.Hour)
	down("its time has changed", "other", 1)
	item.Executable = true
	down("it can be executed", "other", 1)
	must(t, os.Remove(at))
	down("it was removed from disk", "other", 1)
	down("nothing has changed", "other", 0)
}

// TestDownCountsWhatItReads: a file that can change is read each time, and counted with the length that it has then.
func TestDownCountsWhatItReads(t *testing.T) {
	g := newGrid()
	file, root := capability.Mutable(keys.NewWriteKey()), capability.ImmutableDirectory(share.StorageIndex{1}, keys.NewReadKey())
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	g.folders[root.Text()] = []transfer.Item{{Name: "notes", Kind: localtree.File, Capability: file, Size: 5, Modified: when, Changes: true}}
	target := filepath.Join(t.TempDir(), "new")
	for _, text := range []string{"first", "other", "longer than before"} {
		g.files[file.Text()] = []byte(text)
		got, err := transfer.Down(t.Context(), transfer.DownOptions{Source: g, Root: root, Target: target})
		must(t, err)
		if c, n := got.Counts, int64(len(text)); c.Moved != 1 || c.Same != 0 || c.MovedSize != n || c.Bytes != n || len(got.Problems) > 0 {
			t.Errorf("%q: counts %+v, problems %v", text, c, got.Problems)
		}
		if have, err := os.ReadFile(filepath.Join(target, "notes")); err != nil || string(have) != text {
			t.Errorf("wrote %q, %v, want %q", have, err, text)
		}
	}
}
