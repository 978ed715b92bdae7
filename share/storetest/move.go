package storetest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"cairn/share"
)

func mover(t *testing.T, store share.Store) share.Mover {
	t.Helper()
	m, ok := store.(share.Mover)
	if !ok {
		t.Skip("the store is no share.Mover")
	}
	return m
}

// testList pages through what is held.
func (s Suite) testList(t *testing.T) {
	store := s.Open(t)
	m := mover(t, store)
	var want []share.StorageIndex
	for i := range 7 {
		f := NewFile(t, uint64(i), 1, 2, blockSize, 100+i*3000)
		s.put(t, store, f, share.Number(i%2))
		want = append(want, f.Index)
	}
	slices.SortFunc(want, func(a, b share.StorageIndex) int { return bytes.Compare(a[:], b[:]) })
	for _, limit := range []int{1, 3, 100} {
		var got []share.StorageIndex
		for after := (share.StorageIndex{}); ; {
			page, err := m.List(t.Context(), after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("list: %d indexes, %v", len(page), err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %d indexes, want %d", limit, len(got), len(want))
		}
	}
}

// testDrop removes shares one by one and stores one of them again.
func (s Suite) testDrop(t *testing.T) {
	store := s.Open(t)
	m := mover(t, store)
	for _, f := range []*File{small(t, 1), NewFile(t, 2, 1, 2, blockSize, 50*blockSize)} {
		s.put(t, store, f, 0)
		s.put(t, store, f, 1)
		if err := m.Drop(t.Context(), f.Index, []share.Number{1, 200}); err != nil {
			t.Fatalf("drop: %v", err)
		}
		wantHeld(t, store, f, 0)
		wantCheck(t, store, f, 0)
		leases, err := m.Leases(t.Context(), f.Index)
		if err != nil || len(leases) != 1 || leases[0].Owner != s.owner() {
			t.Errorf("leases: %v, %v", leases, err)
		}
		if err := m.Drop(t.Context(), f.Index, []share.Number{0}); err != nil {
			t.Fatalf("drop the last: %v", err)
		}
		wantHeld(t, store, f)
		_, err = store.Open(t.Context(), f.Index, 0)
		wantError(t, "open what was dropped", err, share.ErrNotFound)
		_, err = m.Leases(t.Context(), f.Index)
		wantError(t, "leases of what was dropped", err, share.ErrNotFound)
		if err := m.Drop(t.Context(), f.Index, []share.Number{0}); err != nil {
			t.Errorf("drop again: %v", err)
		}
	}
	if a, ok := store.(share.Accounter); ok && s.Owner == "" {
		wantUsage(t, a, "all dropped", map[string]int64{})
	}
	f := small(t, 1)
	s.put(t, store, f, 1)
	wantHeld(t, store, f, 1)
	wantCheck(t, store, f, 1)
}

// testRelease ends leases one by one.
func (s Suite) testRelease(t *testing.T) {
	store := s.Open(t)
	m, a := mover(t, store), s.accounter(t, store)
	f := small(t, 1)
	s.put(t, store, f, 0)
	if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease("bob", time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		owner string
		want  map[string]int64
	}{
		{"nobody", map[string]int64{"alice": sizeOf(f, 0), "bob": sizeOf(f, 0)}},
		{"alice", map[string]int64{"bob": sizeOf(f, 0)}},
		{"alice", map[string]int64{"bob": sizeOf(f, 0)}},
		{"bob", map[string]int64{}},
	} {
		if err := m.Release(t.Context(), step.owner, []share.StorageIndex{f.Index, {9}}); err != nil {
			t.Fatalf("release: %v", err)
		}
		wantUsage(t, a, "released by "+step.owner, step.want)
	}
	wantCheck(t, store, f, 0)
}
