package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/share"
	"cairn/share/storetest"
)

// manyFiles makes files of shares of about so many bytes, as quickly as they can be stored.
func manyFiles(b *testing.B, size int) func() *storetest.File {
	const total = 10
	blockSize := 4 << 10
	for blockSize < size {
		blockSize *= 2
	}
	base := storetest.NewFile(b, 1, 1, total, blockSize, max(1, size-32*total-140))
	var next atomic.Uint64
	return func() *storetest.File {
		f, _ := base.Renamed(next.Add(1))
		return f
	}
}

// BenchmarkBatch stores whole shares in batches of several sizes; a batch of 0 is one upload after the other. The figure is
// shares a second.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{1 << 10, 7 << 10, 32 << 10, 64 << 10, 120 << 10} {
		for _, batch := range []int{0, 1, 16, 256} {
			if batch*size > share.MaxBatchBytes {
				continue
			}
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, batch), func(b *testing.B) { benchmarkBatch(b, size, batch, 0) })
		}
		b.Run(fmt.Sprintf("%dKiB/files", size>>10), func(b *testing.B) { benchmarkBatch(b, size, 0, 1) })
	}
}

func benchmarkBatch(b *testing.B, size, batch int, inline int64) {
	store, err := Open(b.TempDir(), Options{inline: inline})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	file := manyFiles(b, size)
	lease, stored := monthLease("alice"), 0
	for b.Loop() {
		if batch == 0 {
			f := file()
			if err := f.PutAs(b.Context(), store, 3, "alice", share.UploadID(f.Index[:16])); err != nil {
				b.Fatal(err)
			}
			stored++
			continue
		}
		shares := make([]share.WholeShare, batch)
		for i := range shares {
			f := file()
			shares[i] = share.WholeShare{Index: f.Index, Number: 3, Data: f.Share(3)}
		}
		verdicts, err := store.Put(b.Context(), shares, lease)
		if err := errors.Join(append(verdicts, err)...); err != nil {
			b.Fatal(err)
		}
		stored += batch
	}
	b.ReportMetric(float64(stored)/b.Elapsed().Seconds(), "shares/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHeads writes versions of as many names as there are writers, each with a share of 1 KB, keeping ten of each name.
func BenchmarkHeads(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("%dwriters", writers), func(b *testing.B) {
			store, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			file := manyFiles(b, 1<<10)
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					if err := writeVersions(store, newName(byte(w+1)), file, &left); err != nil {
						b.Error(err)
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "versions/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func writeVersions(store *Store, n testName, file func() *storetest.File, left *atomic.Int64) error {
	var before *storetest.File
	for sequence := uint64(1); left.Add(-1) >= 0; sequence++ {
		f := file()
		u := n.update(sequence, f, nil, share.Retention{Versions: 10})
		if before != nil {
			u.Replaces = sha256.Sum256(n.record(sequence-1, before.Index))
			u.Drops = []share.StorageIndex{before.Index}
		}
		if err := store.SetHead(context.Background(), u); err != nil {
			return err
		}
		before = f
	}
	return nil
}

// BenchmarkDisk stores 100 000 shares of 1 KB and reports the bytes on the disk for each byte of a share.
func BenchmarkDisk(b *testing.B) {
	const shares, batch = 100_000, 500
	for b.Loop() {
		dir := b.TempDir()
		store, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		file, lease := manyFiles(b, 1<<10), monthLease("alice")
		var stored int64
		for range shares / batch {
			whole := make([]share.WholeShare, batch)
			for i := range whole {
				f := file()
				whole[i] = share.WholeShare{Index: f.Index, Number: 3, Data: f.Share(3)}
				stored += int64(len(whole[i].Data))
			}
			if verdicts, err := store.Put(b.Context(), whole, lease); errors.Join(append(verdicts, err)...) != nil {
				b.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(treeSize(b, filepath.Join(dir, "journal")))/float64(stored), "journal/byte")
		b.ReportMetric(float64(treeSize(b, filepath.Join(dir, "index")))/float64(stored), "index/byte")
	}
}

func treeSize(b *testing.B, dir string) (size int64) {
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}
