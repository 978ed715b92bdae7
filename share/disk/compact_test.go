package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"testing"

	"cairn/internal/waittest"
	"cairn/share"
)

// TestCompaction writes more than one table after the other and looks whether they are merged, and whether all is
// still there; and that nothing is merged on a disk without room for it.
func TestCompaction(t *testing.T) {
	for _, test := range []struct {
		name string
		free func(int64) error
	}{
		{"room", func(int64) error { return nil }},
		{"no room", func(int64) error { return share.ErrNoSpace }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			o := indexOptions{dir: dir, memTable: 1 << 20, free: test.free, log: slog.New(slog.DiscardHandler)}
			x, err := openIndex(o)
			if err != nil {
				t.Fatal(err)
			}
			const records, size, batch = 1000, 8 << 10, 10
			key := func(i int) []byte {
				sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
				return fileKey(sum)
			}
			for first := 0; first < records; first += batch {
				var changes []change
				for i := first; i < first+batch; i++ {
					changes = append(changes, change{key(i), seal(fileRecord{Root: bytes.Repeat([]byte{byte(i)}, size)})})
				}
				if err := x.write(changes); err != nil {
					t.Fatal(err)
				}
			}
			x.compact.stop()
			// Badger writes its last tables in the background.
			fresh := func() int { return x.db.Levels()[0].NumTables }
			if test.free(0) != nil {
				waittest.Eventually(t, "fresh tables stay", func() bool { return fresh() >= compactTables })
			} else if n := fresh(); n >= compactTables {
				t.Errorf("%d fresh tables", n)
			}
			x.compact = nil
			if err := x.close(); err != nil {
				t.Fatal(err)
			}
			if err := checkTables(dir, deep); err != nil {
				t.Errorf("tables: %v", err)
			}
			x, err = openIndex(o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range records {
				var r fileRecord
				if found, err := x.get(key(i), &r); err != nil || !found || len(r.Root) != size || r.Root[0] != byte(i) {
					t.Fatalf("record %d: %t, %v", i, found, err)
				}
			}
			if err := x.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
