package file_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/encoding"
)

// flipped turns a bit in the middle of a share.
func flipped(data []byte) []byte {
	data[len(data)/3] ^= 2
	return data
}

// wantWhole checks that a server holds a share, and that it is good.
func wantWhole(t *testing.T, s *testServer, index share.StorageIndex, number share.Number, root []byte) {
	t.Helper()
	r, err := s.Store.Open(t.Context(), index, number)
	if err == nil {
		err = errors.Join(encoding.Verify(t.Context(), r, index, number, root), r.Close())
	}
	if err != nil {
		t.Errorf("share %d: %v", number, err)
	}
}

func wantHeld(t *testing.T, s *testServer, index share.StorageIndex, want bool) {
	t.Helper()
	held, err := s.Store.Numbers(t.Context(), []share.StorageIndex{index})
	if err != nil || (len(held[0].Numbers) > 0) != want {
		t.Errorf("the server holds %v, %v", held[0].Numbers, err)
	}
}

// TestReadDropsDamage reads a file of which a server has a damaged share: the server does not hold it any more, and takes it when the
// same file is stored again.
func TestReadDropsDamage(t *testing.T) { synctest.Test(t, testReadDropsDamage) }

func testReadDropsDamage(t *testing.T) {
	const size = 40 * 3 * encoding.MinBlockSize
	s := store(t, 3, 10, 10, size)
	index := s.result.Root.StorageIndex()
	if !s.holder(1).Damage(index, 1, flipped) {
		t.Fatal("the share is not there")
	}
	r := s.reader(t)
	s.check(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s.holder(1), index, false)
	for n := range share.Number(10) {
		if n != 1 {
			wantHeld(t, s.holder(n), index, true)
		}
	}
	again := s.upload(t, s.data, options(3, 10, 10, s.key, size))
	if again.Placed[1].ID != s.result.Placed[1].ID {
		t.Errorf("share 1 went to %s, it was on %s", again.Placed[1].ID, s.result.Placed[1].ID)
	}
	wantWhole(t, s.holder(1), index, 1, s.result.Root.Marshal())
}

// TestReadLeavesGoodShares reads through what turns bits on the way: no server loses anything by that.
func TestReadLeavesGoodShares(t *testing.T) { synctest.Test(t, testReadLeavesGoodShares) }

func testReadLeavesGoodShares(t *testing.T) {
	s := store(t, 3, 10, 10, 40*3*encoding.MinBlockSize)
	s.holder(1).set(func() { s.holder(1).spoil = func(off int64) bool { return off < 1<<20 } })
	r := s.reader(t)
	s.check(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s.holder(1), s.result.Root.StorageIndex(), true)
}

// TestFetchDropsDamage is TestReadDropsDamage for small files.
func TestFetchDropsDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stores := newBatchGrid(10)
		files := smallFiles(5)
		results, err := file.UploadBatch(t.Context(), g.servers, files, batchOptions)
		if err != nil {
			t.Fatal(err)
		}
		index := results[4].Root.StorageIndex()
		for _, s := range stores {
			for n := range share.Number(10) {
				s.Damage(index, n, func(data []byte) []byte {
					if n%2 == 0 {
						data = flipped(data)
					}
					return data
				})
			}
		}
		g.checkFetch(t, files, results)
		synctest.Wait()
		dropped := 0
		for _, s := range stores {
			held, err := s.Numbers(t.Context(), []share.StorageIndex{index})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range held[0].Numbers {
				r, err := s.Store.Open(t.Context(), index, n)
				if err != nil {
					t.Fatal(err)
				}
				if err := encoding.Verify(t.Context(), r, index, n, results[4].Root.Marshal()); err == nil != (n%2 == 1) {
					t.Errorf("share %d: %v", n, err)
				}
				dropped--
			}
		}
		if dropped += 10; dropped < 1 || dropped > 5 {
			t.Errorf("%d shares were dropped", dropped)
		}
	})
}

// TestHungComplaint reads from a server that gives bad blocks and does not answer complaints: closing waits a moment for it, no longer.
func TestHungComplaint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, 3, 10, 10, 40*3*encoding.MinBlockSize)
		s.holder(1).set(func() { s.holder(1).spoil = func(off int64) bool { return off < 1<<20 } })
		s.holder(1).on(hang, opRecheck)
		start := time.Now()
		r := s.reader(t)
		s.check(t, r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := s.holder(1).count(opRecheck); n != 1 {
			t.Errorf("the server was told %d times", n)
		}
	})
}
