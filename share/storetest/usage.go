package storetest

import (
	"maps"
	"testing"
	"time"

	"cairn/share"
)

// accounter returns the store as one that keeps account of more than one owner, or skips the test.
func (s Suite) accounter(t *testing.T, store share.Store) share.Accounter {
	t.Helper()
	a, ok := store.(share.Accounter)
	if !ok || s.Owner != "" {
		t.Skip("the store is no share.Accounter")
	}
	return a
}

// wantUsage compares all that the store says of its owners with what they use.
func wantUsage(t *testing.T, a share.Accounter, what string, want map[string]int64) {
	t.Helper()
	got, err := a.Usage(t.Context())
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%s: usage %v, %v; want %v", what, got, err, want)
	}
	for _, owner := range []string{"alice", "bob", "nobody"} {
		if n, err := a.UsageOf(t.Context(), owner); err != nil || n != want[owner] {
			t.Errorf("%s: usage of %s: %d, %v; want %d", what, owner, n, err, want[owner])
		}
	}
}

func sizeOf(f *File, numbers ...share.Number) int64 {
	var total int64
	for _, n := range numbers {
		total += int64(len(f.Share(n)))
	}
	return total
}

// testUsage has two owners store, store again and lease the same files, small and large.
func (s Suite) testUsage(t *testing.T) {
	store := s.Open(t)
	a := s.accounter(t, store)
	wantUsage(t, a, "empty", map[string]int64{})
	put := func(f *File, n share.Number, owner string) {
		t.Helper()
		if err := f.Put(t.Context(), store, n, owner); err != nil {
			t.Fatalf("put share %d for %s: %v", n, owner, err)
		}
	}
	small, large := NewFile(t, 1, 1, 3, blockSize, 100), NewFile(t, 2, 1, 3, blockSize, 30*blockSize)
	put(small, 0, "alice")
	put(large, 0, "alice")
	put(large, 2, "alice")
	alice := sizeOf(small, 0) + sizeOf(large, 0, 2)
	wantUsage(t, a, "stored", map[string]int64{"alice": alice})
	put(small, 0, "alice")
	put(large, 0, "alice")
	wantUsage(t, a, "stored again", map[string]int64{"alice": alice})
	if err := store.Renew(t.Context(), []share.StorageIndex{small.Index, large.Index}, lease("alice", 200*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, a, "renewed", map[string]int64{"alice": alice})
	if err := store.Renew(t.Context(), []share.StorageIndex{large.Index, large.Index}, lease("bob", time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, a, "leased by another", map[string]int64{"alice": alice, "bob": sizeOf(large, 0, 2)})
	put(small, 1, "bob") // and both have leases on all shares of both files
	put(large, 1, "bob")
	all := sizeOf(small, 0, 1) + sizeOf(large, 0, 1, 2)
	wantUsage(t, a, "another's shares of the same files", map[string]int64{"alice": all, "bob": all})
}

// testUsageOfUploads follows an upload of known and one of unknown size from its creation to its end.
func (s Suite) testUsageOfUploads(t *testing.T) {
	for name, known := range map[string]bool{"KnownSize": true, "UnknownSize": false} {
		t.Run(name, func(t *testing.T) { s.testUsageOfUpload(t, known) })
	}
}

func (s Suite) testUsageOfUpload(t *testing.T, known bool) {
	store := s.Open(t)
	a := s.accounter(t, store)
	const (
		blocks = 40
		half   = blocks / 2 * blockSize
		slack  = 4 << 10 // for digests, index, root and what the store adds
	)
	f := NewFile(t, 1, 1, 3, blockSize, blocks*blockSize)
	between := func(what string, low int64) {
		t.Helper()
		if n, err := a.UsageOf(t.Context(), "alice"); err != nil || n < low || n > low+slack {
			t.Errorf("%s: usage %d, %v; want %d and a bit", what, n, err, low)
		}
	}
	whole := sizeOf(f, 0)
	u, begun, middle := f.Upload(0, "alice"), whole, whole
	if !known {
		u.Size, begun, middle = -1, 0, half
	}
	w := s.create(t, store, u)
	between("begun", begun)
	if err := f.Append(t.Context(), w, 0, 0, blocks/2); err != nil {
		t.Fatal(err)
	}
	between("half way", middle)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !s.NoResume {
		between("interrupted", half)
	}
	w = s.create(t, store, u)
	have, err := w.Have(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.NoResume {
		between("resumed", middle)
	}
	if err := f.Append(t.Context(), w, 0, have, blocks); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), f.Root); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, a, "committed", map[string]int64{"alice": whole})
	w.Close()
	wantUsage(t, a, "closed", map[string]int64{"alice": whole})
	w = s.create(t, store, f.Upload(1, "alice"))
	if err := f.Append(t.Context(), w, 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	wantError(t, "commit of too little", w.Commit(t.Context(), f.Root), share.ErrCorrupt)
	wantUsage(t, a, "another share refused", map[string]int64{"alice": whole})
}

// testLeaseCost asks what leases would cost, and takes them.
func (s Suite) testLeaseCost(t *testing.T) {
	store := s.Open(t)
	a := s.accounter(t, store)
	f, g := NewFile(t, 1, 1, 3, blockSize, 100), NewFile(t, 2, 1, 3, blockSize, 30*blockSize)
	s.put(t, store, f, 0)
	s.put(t, store, g, 0)
	s.put(t, store, g, 1)
	indexes := []share.StorageIndex{f.Index, g.Index, {1}, g.Index}
	want := func(owner string, want int64) {
		t.Helper()
		if got, err := a.LeaseCost(t.Context(), owner, indexes); err != nil || got != want {
			t.Errorf("leases of %s cost %d, %v; want %d", owner, got, err, want)
		}
	}
	want("alice", 0)
	want("bob", sizeOf(f, 0)+sizeOf(g, 0, 1))
	if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease("bob", time.Hour)); err != nil {
		t.Fatal(err)
	}
	want("bob", sizeOf(g, 0, 1))
}

// testUsageReopened closes the store with shares of two owners and an unfinished upload.
func (s Suite) testUsageReopened(t *testing.T) {
	if s.Reopen == nil {
		t.Skip("the store forgets")
	}
	store := s.Open(t)
	s.accounter(t, store)
	f, g := NewFile(t, 1, 1, 3, blockSize, 100), NewFile(t, 2, 1, 3, blockSize, 30*blockSize)
	s.put(t, store, f, 0)
	s.put(t, store, g, 1)
	if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease("bob", time.Hour)); err != nil {
		t.Fatal(err)
	}
	w := s.create(t, store, g.Upload(2, "bob"))
	if err := g.Append(t.Context(), w, 2, 0, 7); err != nil {
		t.Fatal(err)
	}
	w.Close()
	before, err := store.(share.Accounter).Usage(t.Context())
	if err != nil || before["alice"] != sizeOf(f, 0)+sizeOf(g, 1) || before["bob"] <= sizeOf(f, 0)+7*blockSize {
		t.Fatalf("usage %v, %v", before, err)
	}
	wantUsage(t, s.Reopen(t, store).(share.Accounter), "opened again", before)
}
