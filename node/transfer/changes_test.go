package transfer_test

import (
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
