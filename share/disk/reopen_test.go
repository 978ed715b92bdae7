package disk

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"cairn/share/storetest"
)

// BenchmarkReopen opens a store of 100 000 small shares that was closed well, and computes its index again.
func BenchmarkReopen(b *testing.B) {
	const shares = 100_000
	dir := b.TempDir()
	store, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	fillQuickly(b, store, shares)
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	for _, rebuild := range []bool{false, true} {
		b.Run(fmt.Sprintf("rebuild=%t", rebuild), func(b *testing.B) {
			for b.Loop() {
				store, err := Open(dir, Options{RebuildIndex: rebuild})
				if err != nil {
					b.Fatal(err)
				}
				stats, err := store.Stats(b.Context())
				if err != nil || stats.Shares != shares {
					b.Fatalf("%+v, %v", stats, err)
				}
				b.StopTimer()
				b.ReportMetric(float64(heap()>>20), "heap-MiB")
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// fillQuickly puts small shares into the store's journal and index without uploading them.
func fillQuickly(tb testing.TB, store *Store, shares int) {
	tb.Helper()
	base := storetest.NewFile(tb, 1, 1, 10, 4<<10, 1000)
	whole := base.Share(3)
	r := journalRecord{Number: 3, Data: whole[:len(whole)-len(base.Root)], Lease: leaseRecord{Owner: "alice", Expires: time.Now().Add(time.Hour).Unix()}}
	for first := 0; first < shares; first += 500 {
		err := store.committer.do(tb.Context(), func(b *batch) error {
			for i := range 500 {
				f, id := base.Renamed(uint64(first + i))
				r := r
				r.Index, r.Root, r.Upload = f.Index, f.Root, uploadName("alice", id)
				r.Size = int64(len(r.Data) + len(r.Root))
				if err := b.store(kindSmall, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}
