package health_test

import (
	"testing"

	"cairn/grid/health"
	"cairn/share/storetest"
)

// BenchmarkRepair makes seven of ten shares anew, from memory to memory. The rate is that of the file's bytes.
func BenchmarkRepair(b *testing.B) {
	const size = 96 << 20
	f := storetest.NewFile(b, 1, 3, 10, 128<<10, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		g := newGrid(10)
		for n, p := range g.peers[:3] {
			if err := f.Put(b.Context(), p.Store, first(3)[n], "uploader"); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		result, err := health.Repair(b.Context(), g.servers, f.Index, health.Options{Happy: 7, Lease: owner()})
		if err != nil || len(result.Made) != 7 {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify verifies ten shares in memory. The rate is that of the bytes of all shares.
func BenchmarkVerify(b *testing.B) {
	const size = 30 << 20
	f := storetest.NewFile(b, 1, 3, 10, 128<<10, size)
	g := newGrid(10)
	for n, p := range g.peers {
		if err := f.Put(b.Context(), p.Store, first(10)[n], "uploader"); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(size / 3 * 10)
	for b.Loop() {
		if r, err := health.Verify(b.Context(), g.servers, f.Index, nil); err != nil || !r.Healthy {
			b.Fatal(err)
		}
	}
}
