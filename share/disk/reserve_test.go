package disk

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/share"
	"cairn/share/storetest"
)

// A countedDisk is a disk of a certain size: it has less room for every byte that files get longer.
type countedDisk struct {
	systemFiles
	size   int64
	taken  *atomic.Int64
	lowest *atomic.Int64
}

func (d countedDisk) left() int64 {
	left := d.size - d.taken.Load()
	for {
		lowest := d.lowest.Load()
		if left >= lowest || d.lowest.CompareAndSwap(lowest, left) {
			return left
		}
	}
}

func (d countedDisk) Free(string) (int64, error) { return max(0, d.left()), nil }

func (d countedDisk) Open(name string, flag int) (file, error) {
	f, err := d.systemFiles.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return countedFile{f, d}, nil
}

type countedFile struct {
	file
	disk countedDisk
}

func (f countedFile) WriteAt(p []byte, off int64) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n, err := f.file.WriteAt(p, off)
	f.disk.taken.Add(max(0, off+int64(n)-info.Size()))
	f.disk.left()
	return n, err
}

// TestReserveIsKept has many uploads race for the last bytes of a disk, and of what its owner offers, some of known and some
// of unknown size, whole and interrupted: what is not to be taken stays free, and what is left is of no use to any of them.
func TestReserveIsKept(t *testing.T) {
	const (
		size    = 40_000
		writers = 60
		room    = 20 * (size + 4000)
		fit     = room / size // at most
	)
	for name, c := range map[string]struct{ offer, disk int64 }{
		"the disk's reserve": {0, indexHeadroom + room},
		"the offer":          {room, indexHeadroom + 1000*room},
	} {
		t.Run(name, func(t *testing.T) {
			disk := countedDisk{size: c.disk, taken: &atomic.Int64{}, lowest: &atomic.Int64{}}
			disk.lowest.Store(c.disk)
			store := mustOpen(t, quickDir(t), Options{Offer: c.offer, Reserve: 1, files: disk})
			before := disk.taken.Load()
			var taken, refused atomic.Int64
			var group sync.WaitGroup
			start := make(chan struct{})
			for i := range writers {
				f := storetest.NewFile(t, uint64(i), 1, 3, 4<<10, size)
				group.Go(func() {
					<-start
					err := raceFor(t, store, f, i%2 == 0)
					switch {
					case err == nil:
						taken.Add(1)
					case errors.Is(err, share.ErrNoSpace):
						refused.Add(1)
					default:
						t.Errorf("upload %d: %v", i, err)
					}
				})
			}
			close(start)
			group.Wait()
			if n := taken.Load(); n == 0 || n > fit || n+refused.Load() != writers {
				t.Errorf("%d uploads were taken and %d refused, there is room for %d of %d at most", n, refused.Load(), fit, writers)
			}
			if lowest := disk.lowest.Load(); lowest < indexHeadroom {
				t.Errorf("%d bytes of the disk were left at one time, %d are reserved", lowest, indexHeadroom)
			}
			if wrote := disk.taken.Load() - before; c.offer > 0 && wrote > c.offer+writers*10_000 {
				t.Errorf("%d bytes were written, %d are offered", wrote, c.offer)
			}
			space, err := store.Space(t.Context())
			if err != nil || c.offer > 0 && space.Used > c.offer || space.Free < 0 {
				t.Errorf("space: %+v, %v", space, err)
			}
			wantCounted(t, store)
		})
	}
}

// raceFor uploads a share, one of unknown size with an interruption.
func raceFor(t *testing.T, store *Store, f *storetest.File, known bool) error {
	u := f.Upload(0, "alice")
	if known {
		w, err := store.Create(t.Context(), u)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := f.Append(t.Context(), w, 0, 0, f.Segments()); err != nil {
			return err
		}
		return w.Commit(t.Context(), f.Root)
	}
	u.Size = -1
	for _, end := range []int64{f.Segments() / 2, f.Segments()} {
		w, err := store.Create(t.Context(), u)
		if err != nil {
			return err
		}
		defer w.Close()
		have, err := w.Have(t.Context())
		if err != nil {
			return err
		}
		if err := f.Append(t.Context(), w, 0, have, end); err != nil {
			return err
		}
		if end == f.Segments() {
			return w.Commit(t.Context(), f.Root)
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}
