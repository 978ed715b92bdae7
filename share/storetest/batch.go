package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"cairn/share"
)

// batcher returns the store as one that takes batches, or skips the test.
func batcher(t *testing.T, store share.Store) share.Batcher {
	t.Helper()
	b, ok := store.(share.Batcher)
	if !ok {
		t.Skip("the store is no share.Batcher")
	}
	return b
}

// wantWhole checks that the store gave these shares, in whatever order.
func wantWhole(t *testing.T, got []share.WholeShare, want ...share.WholeShare) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d shares, want %d", len(got), len(want))
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g share.WholeShare) bool {
			return g.Index == w.Index && g.Number == w.Number && bytes.Equal(g.Data, w.Data)
		}) {
			t.Errorf("share %d of %s is missing or differs", w.Number, w.Index)
		}
	}
}

// wantPut stores shares, all of which must be taken.
func wantPut(t *testing.T, store share.Batcher, shares []share.WholeShare, l share.Lease) {
	t.Helper()
	errs, err := store.Put(t.Context(), shares, l)
	if err != nil || len(errs) != len(shares) {
		t.Fatalf("put: %d answers, %v", len(errs), err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// testBatch stores small files of several shapes at once, and reads them in both ways.
func (s Suite) testBatch(t *testing.T) {
	plain := s.Open(t)
	store := batcher(t, plain)
	files := []*File{
		small(t, 1), small(t, 2), NewFile(t, 3, 3, 10, blockSize, 1000), NewFile(t, 4, 1, 1, blockSize, 1),
		NewFile(t, 5, 2, 4, blockSize, 50*blockSize), NewFile(t, 6, 1, 2, 64<<10, 127<<10),
	}
	var shares []share.WholeShare
	var indexes []share.StorageIndex
	for _, f := range files {
		shares = append(shares, f.Whole(0))
		indexes = append(indexes, f.Index)
	}
	shares = append(shares, files[0].Whole(1), files[2].Whole(9), files[0].Whole(1))
	wantPut(t, store, shares, lease(s.owner(), time.Hour))
	for _, f := range files {
		wantCheck(t, plain, f, 0)
	}
	wantCheck(t, plain, files[2], 9)
	wantHeld(t, plain, files[0], 0, 1)
	wantPut(t, store, shares, lease(s.owner(), 2*time.Hour))
	unknown := small(t, 50).Index
	got, err := store.Fetch(t.Context(), append([]share.StorageIndex{unknown}, indexes...))
	if err != nil || len(got) != len(files)+1 || len(got[0]) != 0 {
		t.Fatalf("fetch: %d answers, %v", len(got), err)
	}
	wantWhole(t, got[1], files[0].Whole(0), files[0].Whole(1))
	wantWhole(t, got[3], files[2].Whole(0), files[2].Whole(9))
	for i, f := range files[3:] {
		wantWhole(t, got[4+i], f.Whole(0))
	}
	if got, err := store.Fetch(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("fetch of nothing: %v, %v", got, err)
	}
	if errs, err := store.Put(t.Context(), nil, lease(s.owner(), time.Hour)); err != nil || len(errs) != 0 {
		t.Errorf("put of nothing: %v, %v", errs, err)
	}
}

// testBatchRefused stores bad shares among good ones.
func (s Suite) testBatchRefused(t *testing.T) {
	plain := s.Open(t)
	store := batcher(t, plain)
	f, g := small(t, 1), NewFile(t, 2, 2, 4, blockSize, 5*blockSize)
	spoil := func(at int) share.WholeShare {
		w := g.Whole(1)
		w.Data[(at+len(w.Data))%len(w.Data)] ^= 0x20
		return w
	}
	other, high, foreign, cut, long := g.Whole(1), g.Whole(1), g.Whole(1), g.Whole(1), g.Whole(1)
	other.Number, high.Number, foreign.Index = 2, 4, f.Index
	cut.Data, long.Data = cut.Data[1:], append(long.Data, 0)
	shares := []share.WholeShare{
		f.Whole(0), spoil(0), spoil(2*blockSize + 1), spoil(3 * blockSize), spoil(-200), spoil(-1),
		other, high, foreign, cut, long,
		{Index: g.Index},
		f.Whole(1),
		NewFile(t, 3, 1, 2, 64<<10, 130<<10).Whole(0),
	}
	errs, err := store.Put(t.Context(), shares, lease(s.owner(), time.Hour))
	if err != nil || len(errs) != len(shares) {
		t.Fatalf("put: %d answers, %v", len(errs), err)
	}
	for i, err := range errs {
		switch i {
		case 0, 12:
			if err != nil {
				t.Errorf("share %d, which is good: %v", i, err)
			}
		case len(shares) - 1:
			wantError(t, "a large share", err, share.ErrTooLarge)
		default:
			if !errors.Is(err, share.ErrCorrupt) {
				t.Errorf("share %d, which is bad: %v", i, err)
			}
		}
	}
	wantHeld(t, plain, f, 0, 1)
	wantHeld(t, plain, g)
	good := []share.WholeShare{g.Whole(0)}
	_, err = store.Put(t.Context(), good, lease(s.owner(), -time.Hour))
	wantError(t, "an ended lease", err, share.ErrDenied)
	_, err = store.Put(t.Context(), good, lease(s.owner(), 2*share.MaxLease))
	wantError(t, "an endless lease", err, share.ErrDenied)
	_, err = store.Put(t.Context(), make([]share.WholeShare, share.MaxBatchShares+1), lease(s.owner(), time.Hour))
	wantError(t, "too many shares", err, share.ErrTooLarge)
	_, err = store.Put(t.Context(), tooMany(), lease(s.owner(), time.Hour))
	wantError(t, "too many bytes", err, share.ErrTooLarge)
	_, err = store.Fetch(t.Context(), make([]share.StorageIndex, share.MaxBatchShares+1))
	wantError(t, "too many indexes", err, share.ErrTooLarge)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Put(cancelled, good, lease(s.owner(), time.Hour))
	wantError(t, "put cancelled", err, context.Canceled)
	_, err = store.Fetch(cancelled, []share.StorageIndex{f.Index})
	wantError(t, "fetch cancelled", err, context.Canceled)
	wantHeld(t, plain, g)
}

// testBatchFetchLarge asks for more than one answer may hold, and for a share that may not travel whole.
func (s Suite) testBatchFetchLarge(t *testing.T) {
	plain := s.Open(t)
	store := batcher(t, plain)
	large := NewFile(t, 1, 1, 2, 64<<10, 130<<10)
	s.put(t, plain, large, 0)
	base := NewFile(t, 2, 1, 2, 64<<10, 127<<10)
	indexes := []share.StorageIndex{large.Index}
	var shares []share.WholeShare
	for i := range share.MaxBatchBytes/(127<<10) + 4 {
		f, _ := base.Renamed(uint64(i))
		shares = append(shares, f.Whole(0))
		indexes = append(indexes, f.Index)
	}
	half := len(shares) / 2
	wantPut(t, store, shares[:half], lease(s.owner(), time.Hour))
	wantPut(t, store, shares[half:], lease(s.owner(), time.Hour))
	got, err := store.Fetch(t.Context(), indexes)
	if err != nil || len(got) != len(indexes) {
		t.Fatalf("fetch: %d answers, %v", len(got), err)
	}
	if len(got[0]) != 0 {
		t.Errorf("a share of %d bytes came whole", len(got[0][0].Data))
	}
	total, missing := 0, 0
	for i, found := range got[1:] {
		if len(found) == 0 {
			missing++
			continue
		}
		wantWhole(t, found, shares[i])
		total += len(found[0].Data)
	}
	if total > share.MaxBatchBytes || missing == 0 || missing > 8 {
		t.Errorf("fetched %d bytes, %d of %d shares are missing", total, missing, len(shares))
	}
}

// testBatchLeases stores shares as one owner, and again as another.
func (s Suite) testBatchLeases(t *testing.T) {
	plain := s.Open(t)
	a := s.accounter(t, plain)
	store := batcher(t, plain)
	f, g := small(t, 1), small(t, 2)
	wantPut(t, store, []share.WholeShare{f.Whole(0), g.Whole(0)}, lease("alice", time.Hour))
	wantPut(t, store, []share.WholeShare{f.Whole(0)}, lease("bob", time.Hour))
	wantUsage(t, a, "stored", map[string]int64{"alice": sizeOf(f, 0) + sizeOf(g, 0), "bob": sizeOf(f, 0)})
	if s.Reopen != nil {
		plain = s.Reopen(t, plain)
		wantUsage(t, plain.(share.Accounter), "opened again", map[string]int64{"alice": sizeOf(f, 0) + sizeOf(g, 0), "bob": sizeOf(f, 0)})
		wantCheck(t, plain, f, 0)
		wantCheck(t, plain, g, 0)
	}
}

// testBatchConcurrent stores overlapping batches from many sides.
func (s Suite) testBatchConcurrent(t *testing.T) {
	plain := s.Open(t)
	store := batcher(t, plain)
	base := small(t, 1)
	files := make([]*File, 60)
	for i := range files {
		files[i], _ = base.Renamed(uint64(i))
	}
	var group sync.WaitGroup
	for w := range 6 {
		group.Go(func() {
			var shares []share.WholeShare
			for i := w * 8; i < w*8+20; i++ {
				shares = append(shares, files[i].Whole(0))
			}
			errs, err := store.Put(t.Context(), shares, lease(s.owner(), time.Hour))
			if err := errors.Join(append(errs, err)...); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	group.Wait()
	for _, f := range files {
		wantHeld(t, plain, f, 0)
	}
	wantCheck(t, plain, files[0], 0)
	wantCheck(t, plain, files[59], 0)
}
