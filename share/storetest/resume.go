package storetest

import (
	"slices"
	"testing"

	"cairn/share"
)

// testTakeOver opens the same upload twice: the second writer owns it, the first gets ErrBusy.
func (s Suite) testTakeOver(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 4*blockSize)
	first := s.create(t, store, f.Upload(0, s.owner()))
	if err := f.Append(t.Context(), first, 0, 0, 2); err != nil {
		t.Fatal(err)
	}
	second := s.create(t, store, f.Upload(0, s.owner()))
	if _, err := second.Have(t.Context()); err != nil {
		t.Fatalf("have: %v", err)
	}
	err := f.Append(t.Context(), first, 0, 2, 4)
	if err == nil {
		err = first.Commit(t.Context(), f.Root)
	}
	wantError(t, "the first writer goes on", err, share.ErrBusy)
	first.Close()
	have, err := second.Have(t.Context())
	if err != nil {
		t.Fatalf("have: %v", err)
	}
	if err := f.Append(t.Context(), second, 0, have, 4); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(t.Context(), f.Root); err != nil {
		t.Fatalf("commit: %v", err)
	}
	wantCheck(t, store, f, 0)
}

// testResume interrupts an upload after each segment and goes on where the store says.
func (s Suite) testResume(t *testing.T) {
	if s.NoResume {
		t.Skip("the store keeps no unfinished uploads")
	}
	store := s.Open(t)
	for _, size := range []int{100, 6*blockSize + 5} {
		f := NewFile(t, uint64(size), 1, 3, blockSize, size)
		for i := range f.Segments() {
			w := s.create(t, store, f.Upload(1, s.owner()))
			if have, err := w.Have(t.Context()); err != nil || have != i {
				t.Fatalf("have %d, %v; want %d", have, err, i)
			}
			if err := f.Append(t.Context(), w, 1, i, i+1); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			wantHeld(t, store, f)
		}
		w := s.create(t, store, f.Upload(1, s.owner()))
		if have, err := w.Have(t.Context()); err != nil || have != f.Segments() {
			t.Fatalf("have %d, %v; want %d", have, err, f.Segments())
		}
		if err := w.Commit(t.Context(), f.Root); err != nil {
			t.Fatalf("commit: %v", err)
		}
		wantCheck(t, store, f, 1)
	}
}

// testResumeUnasked starts again from segment 0 without asking: what was there is replaced.
func (s Suite) testResumeUnasked(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 3, blockSize, 5*blockSize)
	w := s.create(t, store, f.Upload(1, s.owner()))
	if err := f.Append(t.Context(), w, 1, 0, 3); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s.put(t, store, f, 1)
	wantCheck(t, store, f, 1)
}

// testResumeOtherShape reuses an upload's name for a file of another shape.
func (s Suite) testResumeOtherShape(t *testing.T) {
	store := s.Open(t)
	f, g := NewFile(t, 1, 1, 3, blockSize, 5*blockSize), NewFile(t, 2, 2, 4, 2*blockSize, 5*blockSize)
	w := s.create(t, store, f.Upload(1, s.owner()))
	if err := f.Append(t.Context(), w, 1, 0, 3); err != nil {
		t.Fatal(err)
	}
	w.Close()
	u := g.Upload(1, s.owner())
	u.ID = f.Key.UploadID()
	w = s.create(t, store, u)
	if have, err := w.Have(t.Context()); err != nil || have != 0 {
		t.Fatalf("have %d, %v; want 0", have, err)
	}
	if err := g.Append(t.Context(), w, 1, 0, g.Segments()); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), g.Root); err != nil {
		t.Fatalf("commit: %v", err)
	}
	wantCheck(t, store, g, 1)
}

func (s Suite) testUploads(t *testing.T) {
	store := s.Open(t)
	resumer, ok := store.(share.Resumer)
	if !ok || s.NoResume {
		t.Skip("the store is no share.Resumer")
	}
	f := NewFile(t, 1, 1, 5, blockSize, 5*blockSize)
	id := f.Key.UploadID()
	want := func(want ...share.Progress) {
		t.Helper()
		got, err := resumer.Uploads(t.Context(), s.owner(), id)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("uploads: %v, %v; want %v", got, err, want)
		}
	}
	want()
	w := s.create(t, store, f.Upload(4, s.owner()))
	if err := f.Append(t.Context(), w, 4, 0, 3); err != nil {
		t.Fatal(err)
	}
	w.Close()
	unfinished := share.Progress{Number: 4, Blocks: 3}
	want(unfinished)
	s.put(t, store, f, 1)
	s.put(t, store, f, 0)
	committed := []share.Progress{{Number: 0, Blocks: 5, Index: f.Index}, {Number: 1, Blocks: 5, Index: f.Index}}
	want(append(committed, unfinished)...)
	w = s.create(t, store, f.Upload(4, s.owner()))
	if have, err := w.Have(t.Context()); err != nil || have != 3 {
		t.Fatalf("have %d, %v", have, err)
	}
	if err := f.Append(t.Context(), w, 4, 3, 5); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), f.Root); err != nil {
		t.Fatal(err)
	}
	want(append(committed, share.Progress{Number: 4, Blocks: 5, Index: f.Index})...)
	if s.Owner != "" {
		return
	}
	if got, err := resumer.Uploads(t.Context(), "bob", id); err != nil || len(got) != 0 {
		t.Errorf("another owner's uploads: %v, %v", got, err)
	}
}

func (s Suite) testSpace(t *testing.T) {
	store := s.Open(t)
	spacer, ok := store.(share.Spacer)
	if !ok {
		t.Skip("the store is no share.Spacer")
	}
	before, err := spacer.Space(t.Context())
	if err != nil || before.Free <= 0 || before.Used < 0 || before.Offered < before.Free {
		t.Fatalf("space: %+v, %v", before, err)
	}
	f := NewFile(t, 1, 1, 2, blockSize, 100*blockSize)
	s.put(t, store, f, 0)
	after, err := spacer.Space(t.Context())
	if err != nil || after.Used < before.Used+100*blockSize {
		t.Errorf("space after a share of %d bytes: %+v, %v; before: %+v", len(f.Share(0)), after, err, before)
	}
	u := f.Upload(1, s.owner())
	u.Size, u.BlockSize = 1<<50, 1<<20
	if before.Free < u.Size {
		rows, blocks := f.column(1)
		wantError(t, "an upload of 1 PiB", upload(t.Context(), store, u, rows, blocks, f.Root), share.ErrNoSpace)
	}
}

// testReopen stops the store between uploads and in the middle of one.
func (s Suite) testReopen(t *testing.T) {
	if s.Reopen == nil {
		t.Skip("the store forgets")
	}
	store := s.Open(t)
	small, large := NewFile(t, 1, 1, 3, blockSize, 100), NewFile(t, 2, 1, 3, blockSize, 30*blockSize)
	for _, f := range []*File{small, large} {
		s.put(t, store, f, 0)
		s.put(t, store, f, 2)
		w := s.create(t, store, f.Upload(1, s.owner()))
		if err := f.Append(t.Context(), w, 1, 0, f.Segments()-1); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	store = s.Reopen(t, store)
	for _, f := range []*File{small, large} {
		wantHeld(t, store, f, 0, 2)
		wantCheck(t, store, f, 0, 2)
		w := s.create(t, store, f.Upload(1, s.owner()))
		have, err := w.Have(t.Context())
		if err != nil || (!s.NoResume && have != f.Segments()-1) {
			t.Fatalf("have %d, %v; want %d", have, err, f.Segments()-1)
		}
		if err := f.Append(t.Context(), w, 1, have, f.Segments()); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(t.Context(), f.Root); err != nil {
			t.Fatalf("commit: %v", err)
		}
		wantHeld(t, store, f, 0, 1, 2)
		wantCheck(t, store, f, 1)
	}
}
