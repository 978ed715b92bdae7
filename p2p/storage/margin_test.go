package storage_test

import (
	"errors"
	"testing"
	"time"

	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A fullPeer writes versions of one name to a server where its quota is reached.
type fullPeer struct {
	*pair
	t     *testing.T
	quota *testQuota
	name  *storetest.Mutable
	files uint64
}

// newFullPeer returns a peer that has a name with a file of 20 000 bytes, and a quota that ends there.
func newFullPeer(t *testing.T, margin int64) *fullPeer {
	q := &testQuota{store: memory.New(memory.Options{})}
	q.limit.Store(share.NoLimit)
	f := &fullPeer{
		pair: connect(t, q.store, storage.ServerOptions{Quota: q, Margin: margin}, storage.ClientOptions{}), t: t, quota: q,
		name: storetest.NewMutable(1),
	}
	f.name.Keep = share.Retention{Versions: 100, Age: time.Hour}
	if err := f.write(20_000); err != nil {
		t.Fatal(err)
	}
	q.limit.Store(f.used())
	return f
}

func (f *fullPeer) used() int64 {
	f.t.Helper()
	used, err := f.quota.store.UsageOf(f.t.Context(), f.owner())
	if err != nil {
		f.t.Fatal(err)
	}
	return used
}

// write writes a version of so many bytes, which drops the one before and what else is given.
func (f *fullPeer) write(size int, drops ...share.StorageIndex) error {
	f.files++
	file := storetest.NewFile(f.t, f.files, 1, 3, 1<<16, size)
	u := f.name.Next(file.Index, "")
	u.Shares = []share.WholeShare{file.Whole(0)}
	u.Drops = append(u.Drops, drops...)
	err := f.client.SetHead(f.t.Context(), u)
	if err == nil {
		f.name.Advance(u)
	}
	return err
}

// TestRemovalBeyondQuota: who has reached the quota can write what replaces as much or more, and nothing else.
func TestRemovalBeyondQuota(t *testing.T) {
	f := newFullPeer(t, 100_000_000)
	limit := f.used()
	wantQuota(t, "a larger version", f.write(30_000), limit)
	other := storetest.NewFile(t, 99, 1, 3, 4096, 10)
	wantQuota(t, "a share", other.Put(t.Context(), f.client, 0, ""), limit)
	u := storetest.NewMutable(2).Next(other.Index, "")
	u.Shares = []share.WholeShare{other.Whole(0)}
	wantQuota(t, "another name", f.client.SetHead(t.Context(), u), limit)
	if f.used() != limit {
		t.Errorf("what was refused takes %d bytes", f.used()-limit)
	}
	if err := f.write(300); err != nil {
		t.Errorf("a version that is smaller: %v", err)
	}
	if records, err := f.client.History(t.Context(), f.name.Name, 0); err != nil || len(records) != 2 {
		t.Errorf("%d versions are kept, %v", len(records), err)
	}
}

// TestKeepLessBeyondQuota: who has reached the quota can write a version of the same file, as one does that keeps fewer past ones.
func TestKeepLessBeyondQuota(t *testing.T) {
	f := newFullPeer(t, 100_000_000)
	f.name.Keep = share.Retention{Versions: 1, Age: time.Hour}
	u := f.name.Next(f.name.Head.Root, "")
	u.Drops = nil
	if err := f.client.SetHead(t.Context(), u); err != nil {
		t.Error(err)
	}
}

// TestMarginIsBounded: again and again a version as large as the one before, with the longest history. It grows to the margin; then
// the history goes, and the account has no more than that.
func TestMarginIsBounded(t *testing.T) {
	f := newFullPeer(t, 1<<30)
	most := f.used() + f.used()/16
	f.quota.limit.Store(f.used())
	peak := int64(0)
	for range 300 {
		if err := f.write(600); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, f.used())
	}
	if peak > most {
		t.Errorf("%d bytes were used, %d are the quota with its margin", peak, most)
	}
}

// TestRemovalWellBeyondQuota: where the quota was lowered below what is there, what replaces more is still taken, and less is used
// afterwards.
func TestRemovalWellBeyondQuota(t *testing.T) {
	f := newFullPeer(t, 1<<30)
	for range 3 {
		f.quota.limit.Store(share.NoLimit)
		if err := f.write(20_000); err != nil {
			t.Fatal(err)
		}
	}
	f.quota.limit.Store(1000)
	before := f.used()
	if err := f.write(19_000); err != nil {
		t.Fatalf("a smaller version: %v", err)
	}
	if after := f.used(); after >= before/3 {
		t.Errorf("%d bytes are used, %d were before: what was replaced is kept", after, before)
	}
	wantQuota(t, "a larger version", f.write(30_000), 1000)
}

// TestMarginOfWhatStays: what is dropped again and again and wanted by another name all the same makes nobody's history grow beyond the
// margin.
func TestMarginOfWhatStays(t *testing.T) {
	const margin = 50_000
	f := newFullPeer(t, margin)
	f.quota.limit.Store(share.NoLimit)
	large := storetest.NewFile(t, 77, 1, 3, 1<<16, 60_000)
	other := storetest.NewMutable(2)
	u := other.Next(large.Index, "")
	u.Shares = []share.WholeShare{large.Whole(0)}
	if err := f.client.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	f.quota.limit.Store(0)
	before := f.used()
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = f.write(20_000+i*2_000, large.Index)
	}
	if !errors.Is(err, share.ErrQuota) {
		t.Errorf("it was refused with %v", err)
	}
	if grown := f.used() - before; grown > margin {
		t.Errorf("%d bytes more are used, the margin is %d", grown, margin)
	}
}
