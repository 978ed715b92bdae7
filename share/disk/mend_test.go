package disk

import (
	"bytes"
	"testing"

	"cairn/share"
)

// damagedVersion writes three versions of a name and damages the records of some of them in the journal.
func damagedVersion(t *testing.T, damaged ...int) (*Store, testName, func(want ...int)) {
	t.Helper()
	store := mustOpen(t, t.TempDir(), Options{})
	n, files := newName(1), smallFiles(t, 3)
	setHeads(t, store, n, files, share.Retention{Versions: 5})
	spoil(t, store.journal.name(1), func(data []byte) []byte {
		for _, i := range damaged {
			data[bytes.Index(data, n.record(uint64(i), files[i-1].Index))+20] ^= 1
		}
		return data
	})
	return store, n, func(want ...int) {
		t.Helper()
		wantHistory(t, store, n, files, want...)
		wantCounted(t, store)
	}
}

// TestScrubVersions has the scrub find versions that the disk has damaged.
func TestScrubVersions(t *testing.T) {
	for _, test := range []struct{ damaged, left []int }{{[]int{2}, []int{3, 1}}, {[]int{3}, []int{2, 1}}, {[]int{1, 2, 3}, nil}} {
		store, n, want := damagedVersion(t, test.damaged...)
		want(test.left...)
		report, err := store.Scrub(t.Context(), 0)
		if err != nil || report.Versions != int64(len(test.damaged)) || report.Quarantined != 0 {
			t.Errorf("damaged %v: scrub %+v, %v", test.damaged, report, err)
		}
		want(test.left...)
		var record nameRecord
		if found, err := store.index.get(nameKey(n.name), &record); err != nil || found != (len(test.left) > 0) || len(record.Versions) != len(test.left) {
			t.Errorf("damaged %v: the index has %+v, %v", test.damaged, record, err)
		}
	}
}

// TestWriteAfterDamage writes over a version that the disk has damaged: the writer knows of the one before, and of nothing
// where none can be read.
func TestWriteAfterDamage(t *testing.T) {
	files := smallFiles(t, 5)
	store, n, _ := damagedVersion(t, 3)
	if err := store.SetHead(t.Context(), n.update(3, files[4], files[1], share.Retention{Versions: 5})); err != nil {
		t.Errorf("over version 2: %v", err)
	}
	if records, err := store.History(t.Context(), n.name, 0); err != nil || len(records) != 3 || !bytes.Equal(records[0], n.record(3, files[4].Index)) {
		t.Errorf("history: %d records, %v", len(records), err)
	}
	store, n, want := damagedVersion(t, 1, 2, 3)
	want()
	if err := store.SetHead(t.Context(), n.update(1, files[0], nil, share.Retention{})); err != nil {
		t.Errorf("over nothing: %v", err)
	}
	want(1)
}
