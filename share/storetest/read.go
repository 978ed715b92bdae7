package storetest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/encoding"
)

// testNumbers asks for hundreds of indexes at once, held and not, some twice.
func (s Suite) testNumbers(t *testing.T) {
	store := s.Open(t)
	var indexes []share.StorageIndex
	want := map[share.StorageIndex][]share.Number{}
	roots := map[share.StorageIndex][]byte{}
	for i := range 300 {
		if i%3 != 0 {
			indexes = append(indexes, share.StorageIndex{byte(i), byte(i >> 8), 1})
			continue
		}
		f := NewFile(t, uint64(i), 1, 4, blockSize, i)
		numbers := [][]share.Number{{0}, {3, 1}, {2, 0, 3, 1}}[i/3%3]
		for _, n := range numbers {
			s.put(t, store, f, n)
		}
		slices.Sort(numbers)
		want[f.Index], roots[f.Index] = numbers, f.Root
		indexes = append(indexes, f.Index)
	}
	rand.Shuffle(len(indexes), func(i, j int) { indexes[i], indexes[j] = indexes[j], indexes[i] })
	indexes = append(indexes, indexes[:50]...)
	held, err := store.Numbers(t.Context(), indexes)
	if err != nil || len(held) != len(indexes) {
		t.Fatalf("numbers: %d answers, %v; want %d", len(held), err, len(indexes))
	}
	for i, h := range held {
		if h.Index != indexes[i] || !slices.Equal(h.Numbers, want[indexes[i]]) || !bytes.Equal(h.Root, roots[indexes[i]]) {
			t.Errorf("answer %d: %v, want %s with %v", i, h, indexes[i], want[indexes[i]])
		}
	}
}

func (s Suite) testNumbersAbsent(t *testing.T) {
	store := s.Open(t)
	if held, err := store.Numbers(t.Context(), nil); err != nil || len(held) != 0 {
		t.Errorf("numbers of nothing: %v, %v", held, err)
	}
	absent := share.StorageIndex{1}
	held, err := store.Numbers(t.Context(), []share.StorageIndex{absent, absent})
	if err != nil || len(held) != 2 {
		t.Fatalf("numbers: %v, %v", held, err)
	}
	for _, h := range held {
		if h.Index != absent || len(h.Numbers) != 0 || len(h.Root) != 0 {
			t.Errorf("an absent file is held: %v", h)
		}
	}
}

// testRoundTrip stores shares of all shapes and reads them back whole.
func (s Suite) testRoundTrip(t *testing.T) {
	store := s.Open(t)
	for _, code := range []struct{ needed, total int }{{1, 1}, {1, 3}, {2, 3}, {3, 10}, {5, 5}, {20, 40}} {
		segment := code.needed * blockSize
		for i, size := range []int{0, 1, 55, blockSize - 1, blockSize, blockSize + 1, segment - 1, segment, segment + 1, 3*segment + 7} {
			f := NewFile(t, uint64(i), code.needed, code.total, blockSize, size)
			last := share.Number(code.total - 1)
			s.put(t, store, f, 0)
			s.put(t, store, f, last)
			wantCheck(t, store, f, 0, last)
			if last > 0 {
				wantHeld(t, store, f, 0, last)
			}
		}
	}
	for _, size := range []int{64 << 10, encoding.MaxBlockSize} {
		f := NewFile(t, 7, 1, 2, size, 2*size+size/2)
		s.put(t, store, f, 1)
		wantCheck(t, store, f, 1)
	}
}

// testUnknownSize stores a stream whose length nobody announced.
func (s Suite) testUnknownSize(t *testing.T) {
	store := s.Open(t)
	for _, size := range []int{0, 1, 10 * blockSize, 10*blockSize + 1, 100 * blockSize} {
		f := NewFile(t, 1, 2, 3, blockSize, size)
		u := f.Upload(1, s.owner())
		u.Size = -1
		rows, blocks := f.column(1)
		if err := upload(t.Context(), store, u, rows, blocks, f.Root); err != nil {
			t.Errorf("upload of %d bytes: %v", size, err)
			continue
		}
		wantCheck(t, store, f, 1)
	}
}

// testManySegments stores a share whose index has several levels.
func (s Suite) testManySegments(t *testing.T) {
	store := s.Open(t)
	for _, segments := range []int{encoding.Fanout - 1, encoding.Fanout, encoding.Fanout + 1, 2*encoding.Fanout + 3} {
		f := NewFile(t, 3, 1, 2, blockSize, segments*blockSize-1)
		s.put(t, store, f, 1)
		wantCheck(t, store, f, 1)
	}
}

func (s Suite) testOpenAbsent(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 3, blockSize, 100)
	_, err := store.Open(t.Context(), f.Index, 0)
	wantError(t, "open in an empty store", err, share.ErrNotFound)
	s.put(t, store, f, 1)
	_, err = store.Open(t.Context(), f.Index, 0)
	wantError(t, "open another number", err, share.ErrNotFound)
	_, err = store.Open(t.Context(), share.StorageIndex{1}, 1)
	wantError(t, "open another file", err, share.ErrNotFound)
}

// testReadEverywhere reads at every offset of a small share and around every border of a larger one.
func (s Suite) testReadEverywhere(t *testing.T) {
	store := s.Open(t)
	small, large := NewFile(t, 1, 1, 2, blockSize, 50), NewFile(t, 2, 2, 3, blockSize, 5*blockSize)
	s.put(t, store, small, 1)
	s.put(t, store, large, 2)
	every := make([]int64, small.RootOffset()+int64(len(small.Root))+3)
	for i := range every {
		every[i] = int64(i)
	}
	borders := []int64{0, large.RowOffset(0), large.LevelOffset(1), large.RootOffset(), large.RootOffset() + int64(len(large.Root))}
	for i := range large.Segments() {
		borders = append(borders, large.BlockOffset(i), large.RowOffset(i))
	}
	for i := range borders {
		borders = append(borders, borders[i]-1, borders[i]+1)
	}
	readAt(t, store, small, 1, every, []int{0, 1, 7, 100, 4096})
	readAt(t, store, large, 2, borders, []int{0, 1, 7, blockSize, 3 * blockSize})
}

func readAt(t *testing.T, store share.Store, f *File, n share.Number, offsets []int64, lengths []int) {
	t.Helper()
	r, err := store.Open(t.Context(), f.Index, n)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	want := f.Share(n)
	if r.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", r.Size(), len(want))
	}
	for _, off := range offsets {
		for _, length := range lengths {
			if off < 0 {
				continue
			}
			p := make([]byte, length)
			got, err := r.ReadAt(t.Context(), p, off)
			rest := want[min(off, int64(len(want))):]
			if length == 0 && off > int64(len(want)) {
				continue // nothing of nowhere: either answer will do
			}
			switch {
			case length <= len(rest) && (err != nil || got != length || !bytes.Equal(p, rest[:length])):
				t.Fatalf("read %d at %d: %d, %v", length, off, got, err)
			case length > len(rest) && (err == nil || got > len(rest) || !bytes.Equal(p[:got], rest[:got])):
				t.Fatalf("read %d at %d of %d: %d, %v, want an error", length, off, len(want), got, err)
			case length > len(rest):
				wantError(t, fmt.Sprintf("read %d at %d of %d", length, off, len(want)), err, io.ErrUnexpectedEOF)
			}
		}
	}
	if _, err := r.ReadAt(t.Context(), make([]byte, 1), -1); err == nil {
		t.Error("read at -1 succeeds")
	}
}

// testReadConcurrently shares one Reader, and several, among goroutines.
func (s Suite) testReadConcurrently(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 40*blockSize)
	s.put(t, store, f, 0)
	want := f.Share(0)
	shared, err := store.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			own, err := store.Open(t.Context(), f.Index, 0)
			if err != nil {
				return err
			}
			defer own.Close()
			r := []share.Reader{shared, own}[i%2]
			p := make([]byte, 5000)
			for range 30 {
				off := rand.IntN(len(want) - len(p))
				if _, err := r.ReadAt(t.Context(), p, int64(off)); err != nil {
					return err
				}
				if !bytes.Equal(p, want[off:][:len(p)]) {
					return fmt.Errorf("wrong bytes at %d", off)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// testManyWriters stores many shares at once, and reads while others write.
func (s Suite) testManyWriters(t *testing.T) {
	store := s.Open(t)
	var group errgroup.Group
	files := make([]*File, 24)
	for i := range files {
		files[i] = NewFile(t, uint64(100+i), 2, 3, blockSize, i*3000)
		group.Go(func() error {
			for n := range share.Number(3) {
				if err := files[i].Put(t.Context(), store, n, s.owner()); err != nil {
					return fmt.Errorf("file %d, share %d: %w", i, n, err)
				}
				if err := files[i].Check(t.Context(), store, n); err != nil {
					return fmt.Errorf("file %d, share %d: %w", i, n, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		wantHeld(t, store, f, 0, 1, 2)
		wantCheck(t, store, f, 0, 1, 2)
	}
}
