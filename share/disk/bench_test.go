package disk_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"cairn/share"
	"cairn/share/disk"
	"cairn/share/storetest"
)

// BenchmarkPut stores shares of a few sizes, from one writer and from many. Each share is stored under its own
// storage index: the root's salt differs.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 20 << 10, 1 << 20} {
		for _, writers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%dwriters", size>>10, writers), func(b *testing.B) { benchmarkPut(b, size, writers) })
		}
	}
}

func benchmarkPut(b *testing.B, size, writers int) {
	store, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	blockSize := 4 << 10
	for blockSize < size && blockSize < 128<<10 {
		blockSize *= 2
	}
	f := storetest.NewFile(b, 1, 1, 10, blockSize, size)
	b.SetBytes(int64(size))
	var next atomic.Uint64
	b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
	put := func() bool {
		copied, id := f.Renamed(next.Add(1))
		err := copied.PutAs(context.Background(), store, 3, "alice", id)
		if err != nil {
			b.Error(err)
		}
		return err == nil
	}
	b.ResetTimer()
	if writers == 1 {
		for b.Loop() {
			if !put() {
				return
			}
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() && put() {
		}
	})
}

// BenchmarkRead reads blocks of 128 KiB from one large share.
func BenchmarkRead(b *testing.B) {
	store, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const block = 128 << 10
	f := storetest.NewFile(b, 1, 1, 2, block, 64*block)
	if err := f.Put(b.Context(), store, 1, "alice"); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(block)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		p := make([]byte, block)
		for i := int64(0); pb.Next(); i++ {
			r, err := store.Open(context.Background(), f.Index, 1)
			if err == nil {
				_, err = r.ReadAt(context.Background(), p, i%64*block)
			}
			if err != nil {
				b.Error(err)
				return
			}
			r.Close()
		}
	})
}

// BenchmarkNumbers asks for one index that is held and one that is not.
func BenchmarkNumbers(b *testing.B) {
	store, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	f := storetest.NewFile(b, 1, 1, 2, 4<<10, 100)
	if err := f.Put(b.Context(), store, 1, "alice"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := store.Numbers(b.Context(), []share.StorageIndex{f.Index, {1}}); err != nil {
			b.Fatal(err)
		}
	}
}
