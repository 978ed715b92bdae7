package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

func (s Suite) testInvisible(t *testing.T) {
	store := s.Open(t)
	for _, size := range []int{100, 300 * blockSize} {
		f := NewFile(t, 1, 1, 2, blockSize, size)
		w := s.create(t, store, f.Upload(0, s.owner()))
		if err := f.Append(t.Context(), w, 0, 0, f.Segments()); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, store, f)
		if err := w.Commit(t.Context(), f.Root); err != nil {
			t.Fatalf("commit: %v", err)
		}
		wantHeld(t, store, f, 0)
		wantCheck(t, store, f, 0)
	}
}

func (s Suite) testCommitTwice(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 100)
	w := s.create(t, store, f.Upload(0, s.owner()))
	if err := f.Append(t.Context(), w, 0, 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), f.Root); err != nil {
		t.Fatal(err)
	}
	wantError(t, "second commit", w.Commit(t.Context(), f.Root), share.ErrClosed)
	wantError(t, "append after commit", w.Append(t.Context(), f.Row(0), f.Block(0, 0)), share.ErrClosed)
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wantCheck(t, store, f, 0)
}

// testCommitHeld stores a share again, under the same and under another upload id.
func (s Suite) testCommitHeld(t *testing.T) {
	store := s.Open(t)
	for _, size := range []int{10, 50 * blockSize} {
		f := NewFile(t, 1, 1, 2, blockSize, size)
		s.put(t, store, f, 1)
		r, err := store.Open(t.Context(), f.Index, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s.put(t, store, f, 1)
		u := f.Upload(1, s.owner())
		u.ID[0]++
		rows, blocks := f.column(1)
		if err := upload(t.Context(), store, u, rows, blocks, f.Root); err != nil {
			t.Errorf("another upload of the same share: %v", err)
		}
		wantHeld(t, store, f, 1)
		wantCheck(t, store, f, 1)
		if _, err := r.ReadAt(t.Context(), make([]byte, r.Size()), 0); err != nil {
			t.Errorf("a reader opened before: %v", err)
		}
	}
}

func (s Suite) testAfterClose(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 100)
	w := s.create(t, store, f.Upload(0, s.owner()))
	if err := w.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	wantError(t, "append", w.Append(t.Context(), f.Row(0), f.Block(0, 0)), share.ErrClosed)
	wantError(t, "commit", w.Commit(t.Context(), f.Root), share.ErrClosed)
	_, err := w.Have(t.Context())
	wantError(t, "have", err, share.ErrClosed)
	wantHeld(t, store, f)
}

func (s Suite) testWrongBlock(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 2, 3, blockSize, 10*blockSize)
	for i := range f.Segments() {
		rows, blocks := f.column(0)
		blocks[i][len(blocks[i])/2] ^= 1
		wantError(t, "upload with a flipped bit", upload(t.Context(), store, f.Upload(0, s.owner()), rows, blocks, f.Root), share.ErrCorrupt)
	}
	rows, blocks := f.column(1)
	u := f.Upload(0, s.owner())
	wantError(t, "upload of another share", upload(t.Context(), store, u, rows, blocks, f.Root), share.ErrCorrupt)
	wantHeld(t, store, f)
}

// testWrongRow spoils the digests of other shares: each block matches, only the root can tell.
func (s Suite) testWrongRow(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 3, blockSize, 3*blockSize)
	rows, blocks := f.column(1)
	rows[1][2][0] ^= 1
	wantError(t, "upload with another's digest wrong", upload(t.Context(), store, f.Upload(1, s.owner()), rows, blocks, f.Root), share.ErrCorrupt)
	rows, blocks = f.column(1)
	rows[0] = rows[0][:2]
	wantError(t, "upload with a short row", upload(t.Context(), store, f.Upload(1, s.owner()), rows, blocks, f.Root), share.ErrCorrupt)
	wantHeld(t, store, f)
}

// testWrongRoot commits roots that do not fit; each time the upload is forgotten.
func (s Suite) testWrongRoot(t *testing.T) {
	store := s.Open(t)
	f, other := NewFile(t, 1, 1, 2, blockSize, 3*blockSize), NewFile(t, 2, 1, 2, blockSize, 3*blockSize)
	shorter, wider := NewFile(t, 3, 1, 2, blockSize, 3*blockSize-1), NewFile(t, 4, 1, 3, blockSize, 3*blockSize)
	noise := append([]byte(nil), f.Root...)
	noise[len(noise)/2] ^= 1
	for name, root := range map[string][]byte{
		"of another file": other.Root, "of a shorter file": shorter.Root, "of another code": wider.Root,
		"changed": noise, "cut": f.Root[:len(f.Root)-1], "empty": nil,
	} {
		w := s.create(t, store, f.Upload(0, s.owner()))
		if err := f.Append(t.Context(), w, 0, 0, f.Segments()); err != nil {
			t.Fatal(err)
		}
		wantError(t, "commit of a root "+name, w.Commit(t.Context(), root), share.ErrCorrupt)
		w.Close()
		again := s.create(t, store, f.Upload(0, s.owner()))
		if have, err := again.Have(t.Context()); err != nil || have != 0 {
			t.Errorf("after a root %s: have %d, %v; want nothing kept", name, have, err)
		}
		again.Close()
	}
	for _, file := range []*File{f, other, shorter, wider} {
		wantHeld(t, store, file)
	}
	s.put(t, store, f, 0)
	wantCheck(t, store, f, 0)
}

func (s Suite) testShortBlock(t *testing.T) {
	store := s.Open(t)
	short, f := NewFile(t, 1, 1, 2, blockSize, 100), NewFile(t, 2, 1, 2, blockSize, 3*blockSize)
	u := f.Upload(0, s.owner())
	rows := [][]share.Digest{f.Row(0), short.Row(0), f.Row(2)}
	blocks := [][]byte{f.Block(0, 0), short.Block(0, 0), f.Block(2, 0)}
	wantError(t, "a short block in the middle", upload(t.Context(), store, u, rows, blocks, f.Root), share.ErrCorrupt)
	wantHeld(t, store, f)
}

func (s Suite) testTooFewSegments(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 3*blockSize)
	for keep := range 3 {
		rows, blocks := f.column(0)
		err := upload(t.Context(), store, f.Upload(0, s.owner()), rows[:keep], blocks[:keep], f.Root)
		wantError(t, "a share without its last segments", err, share.ErrCorrupt)
	}
	wantHeld(t, store, f)
}

func (s Suite) testLimits(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 100)
	refused := func(name string, want error, change func(u *share.Upload)) {
		t.Helper()
		u := f.Upload(1, s.owner())
		change(&u)
		rows, blocks := f.column(1)
		wantError(t, name, upload(t.Context(), store, u, rows, blocks, f.Root), want)
	}
	refused("257 shares", share.ErrTooLarge, func(u *share.Upload) { u.Total = share.MaxTotal + 1 })
	refused("share number N", share.ErrTooLarge, func(u *share.Upload) { u.Number = 2 })
	refused("blocks of 2 MiB", share.ErrTooLarge, func(u *share.Upload) { u.BlockSize = 2 * encoding.MaxBlockSize })
	refused("a file of 2 PiB", share.ErrTooLarge, func(u *share.Upload) { u.Size = 2 * encoding.MaxSize })
	refused("k of 0", share.ErrDenied, func(u *share.Upload) { u.Needed = 0 })
	refused("k above N", share.ErrDenied, func(u *share.Upload) { u.Needed = 3 })
	refused("blocks of 5000 bytes", share.ErrDenied, func(u *share.Upload) { u.BlockSize = 5000 })
	refused("blocks of 2 KiB", share.ErrDenied, func(u *share.Upload) { u.BlockSize = 2 << 10 })
	refused("size -2", share.ErrDenied, func(u *share.Upload) { u.Size = -2 })

	large := make([]byte, encoding.MaxBlockSize+1)
	u := f.Upload(0, s.owner())
	u.BlockSize, u.Size = encoding.MaxBlockSize, -1
	err := upload(t.Context(), store, u, [][]share.Digest{f.Row(0)}, [][]byte{large}, f.Root)
	wantError(t, "a block above 1 MiB", err, share.ErrTooLarge)
	u = f.Upload(0, s.owner())
	err = upload(t.Context(), store, u, [][]share.Digest{f.Row(0)}, [][]byte{large[:blockSize+1]}, f.Root)
	wantError(t, "a block above the block size", err, share.ErrTooLarge)
	wantHeld(t, store, f)
}

func (s Suite) testLeases(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 100)
	rows, blocks := f.column(0)
	for _, d := range []time.Duration{share.MaxLease + 48*time.Hour, -time.Hour} {
		u := f.Upload(0, s.owner())
		u.Lease.Expires = time.Now().Add(d)
		wantError(t, "a lease for "+d.String(), upload(t.Context(), store, u, rows, blocks, f.Root), share.ErrDenied)
	}
	wantHeld(t, store, f)
	u := f.Upload(0, s.owner())
	u.Lease.Expires = time.Now().Add(share.MaxLease)
	if err := upload(t.Context(), store, u, rows, blocks, f.Root); err != nil {
		t.Errorf("the longest lease: %v", err)
	}
}

func (s Suite) testRenew(t *testing.T) {
	store := s.Open(t)
	f, g := NewFile(t, 1, 1, 2, blockSize, 100), NewFile(t, 2, 1, 2, blockSize, 20*blockSize)
	s.put(t, store, f, 0)
	s.put(t, store, g, 1)
	long := lease(s.owner(), 200*24*time.Hour)
	absent := share.StorageIndex{1}
	wantError(t, "renew with one absent", store.Renew(t.Context(), []share.StorageIndex{f.Index, absent, g.Index}, long), share.ErrNotFound)
	wantLease(t, store, f, long)
	wantLease(t, store, g, long)
	if err := store.Renew(t.Context(), []share.StorageIndex{g.Index}, lease(s.owner(), time.Hour)); err != nil {
		t.Errorf("renew: %v", err)
	}
	wantLease(t, store, g, long)
	wantError(t, "renew for too long",
		store.Renew(t.Context(), []share.StorageIndex{f.Index}, lease(s.owner(), share.MaxLease+48*time.Hour)), share.ErrDenied)
	if s.Owner != "" {
		return
	}
	other := lease("bob", 50*24*time.Hour)
	if err := store.Renew(t.Context(), []share.StorageIndex{f.Index}, other); err != nil {
		t.Errorf("renew for another owner: %v", err)
	}
	wantLease(t, store, f, long)
	wantLease(t, store, f, other)
}

// wantLease checks a lease where the store tells; times are kept to the second at least.
func wantLease(t *testing.T, store share.Store, f *File, want share.Lease) {
	t.Helper()
	l, ok := store.(leaser)
	if !ok {
		return
	}
	leases, err := l.Leases(t.Context(), f.Index)
	if err != nil {
		t.Errorf("leases: %v", err)
	}
	for _, got := range leases {
		if got.Owner == want.Owner {
			if got.Expires.Sub(want.Expires).Abs() > time.Second {
				t.Errorf("lease of %s until %s, want %s", got.Owner, got.Expires, want.Expires)
			}
			return
		}
	}
	t.Errorf("no lease of %s among %v", want.Owner, leases)
}

func (s Suite) testCancelled(t *testing.T) {
	store := s.Open(t)
	f := NewFile(t, 1, 1, 2, blockSize, 2*blockSize)
	s.put(t, store, f, 0)
	r, err := store.Open(t.Context(), f.Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := s.create(t, store, f.Upload(1, s.owner()))
	if err := f.Append(t.Context(), w, 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Numbers(ctx, []share.StorageIndex{f.Index})
	wantError(t, "numbers", err, context.Canceled)
	_, err = store.Open(ctx, f.Index, 0)
	wantError(t, "open", err, context.Canceled)
	wantError(t, "renew", store.Renew(ctx, []share.StorageIndex{f.Index}, lease(s.owner(), time.Hour)), context.Canceled)
	_, err = r.ReadAt(ctx, make([]byte, 10), 0)
	wantError(t, "read", err, context.Canceled)
	rows, blocks := f.column(1)
	u := f.Upload(1, s.owner())
	u.ID[0]++
	wantError(t, "upload", upload(ctx, store, u, rows, blocks, f.Root), context.Canceled)
	if err := errors.Join(w.Append(ctx, f.Row(1), f.Block(1, 1)), w.Commit(ctx, f.Root)); !errors.Is(err, context.Canceled) {
		t.Errorf("append and commit: %v", err)
	}
	w.Close()
	wantHeld(t, store, f, 0)
	s.put(t, store, f, 1)
	wantCheck(t, store, f, 0, 1)
}
