package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
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

// TestClock lets the machine's clock jump: the store's own follows slowly, and not behind the jump once it was undone.
func TestClock(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	year, day := 365*24*time.Hour, 24*time.Hour
	c := clock{time: start}
	for _, step := range []struct {
		machine, passed, want time.Duration
	}{
		{6 * time.Hour, 6 * time.Hour, 6 * time.Hour},
		{12*time.Hour + year, 6 * time.Hour, 48 * time.Hour}, // a jump
		{day + year, 12 * time.Hour, 132 * time.Hour},
		{day, 0, day}, // undone
		{30 * day, 2 * day, 15 * day},
		{31 * day, 3 * day, 31 * day},
	} {
		if got := c.advance(start.Add(step.machine), step.passed).Sub(start); got != step.want {
			t.Errorf("%v after the last look the machine's clock shows %v and the store's %v, want %v", step.passed, step.machine, got, step.want)
		}
	}
}

// TestCollectDue has a store that was closed for a year, as its own clock says: nothing goes at once.
func TestCollectDue(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{Grace: time.Nanosecond})
	files := smallFiles(t, 3)
	putWhole(t, store, files, share.Lease{Owner: "alice", Expires: days(1)})
	err := store.committer.do(t.Context(), func(b *batch) error {
		for _, f := range files { // as if the leases had ended long ago
			r, err := b.file(f.Index)
			if err != nil {
				return err
			}
			r.Leases[0].Expires = days(-100).Unix()
		}
		b.other = append(b.other, change{clockKey, seal(clockRecord{Time: days(-365).Unix()})})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	store = mustOpen(t, dir, Options{Grace: time.Nanosecond})
	if report, err := store.CollectDue(t.Context(), 0); err != nil || report != (CollectReport{}) {
		t.Errorf("right after a year: %+v, %v", report, err)
	}
	store.clock.at = store.clock.at.Add(-40 * 24 * time.Hour) // as if it had been open for so long
	if report, err := store.CollectDue(t.Context(), 1<<20); err != nil || report.Shares != 3 {
		t.Errorf("40 days later: %+v, %v", report, err)
	}
	store.Close()
	if store = mustOpen(t, dir, Options{}); store.clock.time.Before(days(-90)) {
		t.Errorf("the store's clock shows %v after it was opened again", store.clock.time)
	}
}

// TestCollectUnderUse reads, stores and collects at once: what has a lease can be read at any moment, and what has none is
// read whole or not found.
func TestCollectUnderUse(t *testing.T) {
	store := mustOpen(t, quickDir(t), Options{segment: 30 << 10})
	files := smallFiles(t, 250)
	kept, large := files[:50], storetest.NewFile(t, 1, 1, 3, 8<<10, 30_000)
	putWhole(t, store, kept, share.Lease{Owner: "alice", Expires: days(300)})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := kept[i%len(kept)].Check(context.Background(), store, 1); err != nil {
					t.Errorf("a share with a lease: %v", err)
				}
				if err := files[50+i*7%200].Check(context.Background(), store, 1); err != nil && !errors.Is(err, share.ErrNotFound) {
					t.Errorf("a share without one: %v", err)
				}
				if err := large.Check(context.Background(), store, 1); err != nil && !errors.Is(err, share.ErrNotFound) {
					t.Errorf("a large share: %v", err)
				}
			}
		})
	}
	var collected CollectReport
	for first := 50; first < len(files); first += 10 {
		putWhole(t, store, files[first:first+10], share.Lease{Owner: "alice", Expires: days(1)})
		if err := large.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err)
		}
		report, err := store.Collect(t.Context(), days(30))
		if err != nil {
			t.Fatal(err)
		}
		collected.Shares, collected.Segments = collected.Shares+report.Shares, collected.Segments+report.Segments
	}
	cancel()
	group.Wait()
	if collected.Shares != 200+20 || collected.Segments < 3 {
		t.Errorf("collected %+v", collected)
	}
	wantCounted(t, store)
}

// TestCollectAgainstUploads stores a share again and again while it is collected: an acknowledged one that was renewed is there.
func TestCollectAgainstUploads(t *testing.T) {
	store := mustOpen(t, quickDir(t), Options{})
	f := storetest.NewFile(t, 1, 1, 3, 8<<10, 10_000)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := store.Collect(context.Background(), days(30)); err != nil {
				t.Errorf("collect: %v", err)
			}
		}
	})
	kept := 0
	for range 200 {
		if err := f.Put(t.Context(), store, 1, "alice"); err != nil {
			t.Fatal(err)
		}
		err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, share.Lease{Owner: "alice", Expires: days(300)})
		if errors.Is(err, share.ErrNotFound) {
			continue // collected first: its lease of a day had ended
		}
		kept++
		if err := errors.Join(err, f.Check(t.Context(), store, 1)); err != nil {
			t.Fatalf("a share with a lease: %v", err)
		}
		err = store.committer.do(t.Context(), func(b *batch) error { // let it end
			r, err := b.file(f.Index)
			if err == nil {
				r.Leases[0].Expires = days(1).Unix()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	group.Wait()
	if kept == 0 {
		t.Error("the share was never kept")
	}
}

// TestTornVersion damages the share that came with a version, as a write that did not arrive whole does: without an index
// the version does not count, and the one before does.
func TestTornVersion(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{})
	n, files := newName(1), smallFiles(t, 2)
	setHeads(t, store, n, files, share.Retention{Versions: 5})
	store.Close()
	spoil(t, store.journal.name(1), func(data []byte) []byte {
		at := bytes.LastIndex(data, files[1].Share(1)[:100])
		copy(data[at:], make([]byte, 50))
		return data
	})
	store = mustOpen(t, dir, Options{RebuildIndex: true})
	wantHistory(t, store, n, files, 1)
	if err := files[1].Check(t.Context(), store, 1); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("the torn share: %v", err)
	}
	wantCounted(t, store)
}

// TestForgotten forgets a name when its lease has ended and nothing is held of its file.
func TestForgotten(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, dir, Options{segment: 4 << 10})
	a, b, files := newName(1), newName(2), smallFiles(t, 6)
	setHeads(t, store, a, files[:3], share.Retention{Versions: 2})
	setHeads(t, store, b, files[3:], share.Retention{Versions: 2})
	if err := store.Renew(t.Context(), []share.StorageIndex{files[5].Index}, share.Lease{Owner: "alice", Expires: days(300)}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []CollectReport{{Shares: 5}, {Names: 1, Versions: 2}} { // shares first, then the name without any
		report := collectAt(t, store, days(100))
		if report.Shares != want.Shares || report.Names != want.Names || report.Versions != want.Versions {
			t.Errorf("collection %d: %+v, want %+v", i+1, report, want)
		}
	}
	for _, o := range []Options{{}, {RebuildIndex: true}} {
		wantHistory(t, store, a, files)
		wantHistory(t, store, b, files[3:], 3, 2)
		store.Close()
		store = mustOpen(t, dir, o)
	}
}
