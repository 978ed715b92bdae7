package disk

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/share"
	"cairn/share/storetest"
)

// A syncCounter is a disk that counts how often something is brought to stable storage.
type syncCounter struct {
	systemFiles
	syncs *atomic.Int64
}

func (d syncCounter) Open(name string, flag int) (file, error) {
	f, err := d.systemFiles.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return countedSync{f, d.syncs}, nil
}

type countedSync struct {
	file
	syncs *atomic.Int64
}

func (f countedSync) Sync() error {
	f.syncs.Add(1)
	return f.file.Sync()
}

// waiting returns how many goroutines wait for the committer to take their request.
func waiting() int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "disk.(*committer).finish(")
}

// apart returns small files of which no two Puts wait for each other: the first half of them differ in their first byte.
func apart(t *testing.T, n int) []*storetest.File {
	var first, rest []*storetest.File
	seen := map[byte]bool{}
	for _, f := range smallFiles(t, 4*n) {
		if b := f.Index[0]; len(first) < n/2 && !seen[b] {
			seen[b] = true
			first = append(first, f)
		} else {
			rest = append(rest, f)
		}
	}
	if len(first) < n/2 {
		t.Fatalf("%d files differ in their first byte", len(first))
	}
	return append(first, rest[:n-n/2]...)
}

// TestOneSyncForMany: what many write at the same time while the store is busy is acknowledged after one sync for all of it.
func TestOneSyncForMany(t *testing.T) {
	const writers = 100
	var syncs atomic.Int64
	store := mustOpen(t, t.TempDir(), Options{files: syncCounter{syncs: &syncs}})
	files := apart(t, 2*writers)
	busy, free := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		if err := store.committer.do(t.Context(), func(*batch) error {
			close(busy)
			<-free
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-busy
	for i := range writers {
		all.Go(func() {
			f := files[i]
			verdicts, err := store.Put(t.Context(), []share.WholeShare{f.Whole(0)}, monthLease("alice"))
			if err != nil || verdicts[0] != nil {
				t.Errorf("share %d: %v, %v", i, verdicts, err)
			}
		})
		all.Go(func() {
			if err := store.SetHead(t.Context(), newName(byte(i+1)).update(1, files[writers+i], nil, share.Retention{})); err != nil {
				t.Errorf("head %d: %v", i, err)
			}
		})
	}
	for waiting() < 2*writers+1 {
		runtime.Gosched()
	}
	before := syncs.Load()
	close(free)
	all.Wait()
	if n := syncs.Load() - before; n != 1 {
		t.Errorf("%d syncs for %d writes that came together, want 1", n, 2*writers)
	}
	for i, f := range files {
		if held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) != 1 {
			t.Errorf("file %d: %v, %v", i, held, err)
		}
	}
}
