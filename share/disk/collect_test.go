package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/storetest"
)

// putWhole stores one share of each file in one batch.
func putWhole(t testing.TB, store *Store, files []*storetest.File, lease share.Lease) {
	t.Helper()
	shares := make([]share.WholeShare, len(files))
	for i, f := range files {
		shares[i] = share.WholeShare{Index: f.Index, Number: 1, Data: f.Share(1)}
	}
	verdicts, err := store.Put(t.Context(), shares, lease)
	if err := errors.Join(append(verdicts, err)...); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func collectAt(t *testing.T, store *Store, now time.Time) CollectReport {
	t.Helper()
	report, err := store.Collect(t.Context(), now)
	if err != nil {
		t.Fatalf("collect: %v", err)
	}
	wantCounted(t, store)
	return report
}

func journalSize(t testing.TB, store *Store) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(store.dir, "journal", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func days(n int) time.Time { return time.Now().Add(time.Duration(n) * 24 * time.Hour) }

// TestCollect lets leases end: what has none left goes after the grace period, with its place on the disk, and nothing else.
func TestCollect(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{segment: 20 << 10})
	small := smallFiles(t, 60)
	putWhole(t, store, small, share.Lease{Owner: "alice", Expires: days(5)})
	putWhole(t, store, small[:20], share.Lease{Owner: "bob", Expires: days(50)})
	large := []*storetest.File{storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000), storetest.NewFile(t, 2, 1, 3, 8<<10, 30_000)}
	for _, f := range large {
		if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Renew(t.Context(), []share.StorageIndex{large[1].Index}, share.Lease{Owner: "carol", Expires: days(50)}); err != nil {
		t.Fatal(err)
	}
	if report := collectAt(t, store, days(18)); report != (CollectReport{Shares: 1, Bytes: int64(len(large[0].Share(1))), Freed: report.Freed}) {
		t.Errorf("within the grace period: %+v", report)
	}
	full := journalSize(t, store)
	report := collectAt(t, store, days(20))
	if report.Shares != 40 || report.Segments == 0 || report.Freed < full/3 {
		t.Errorf("after it: %+v; the journal had %d bytes", report, full)
	}
	if left := journalSize(t, store); left > full/2 {
		t.Errorf("the journal has %d bytes, had %d", left, full)
	}
	check := func() {
		t.Helper()
		for i, f := range append(small[:60:60], large...) {
			err := f.Check(t.Context(), store, 1)
			if keep := i < 20 || f == large[1]; keep && err != nil || !keep && !errors.Is(err, share.ErrNotFound) {
				t.Errorf("file %d: %v", i, err)
			}
		}
		wantCounted(t, store)
	}
	check()
	if _, err := os.Stat(store.fileName(large[0].Index, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the large share: %v", err)
	}
	if progress, err := store.Uploads(t.Context(), "alice", large[0].Key.UploadID()); err != nil || len(progress) != 0 {
		t.Errorf("uploads: %v, %v", progress, err)
	}
	for _, o := range []Options{{}, {RebuildIndex: true}} {
		store.Close()
		store = mustOpen(t, dir, o)
		check()
	}
	if report := collectAt(t, store, days(400)); report.Shares != 21 {
		t.Errorf("in the end: %+v", report)
	}
	if stats, err := store.Stats(t.Context()); err != nil || stats != (Stats{}) {
		t.Errorf("in the end: %+v, %v", stats, err)
	}
}
