package storetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/share"
)

// A Damage is what happens to the bytes of a share.
type Damage string

// Damages, as a Suite does them. A bit turns in the first block.
const (
	Flip Damage = "a bit turns"
	Cut  Damage = "cut"
	Gone Damage = "gone"
)

var damages = []Damage{Flip, Cut, Gone}

// Spoil does damage to bytes that contain a share of the file, and reports whether they do. What is gone is nil.
func (f *File) Spoil(data []byte, n share.Number, damage Damage) ([]byte, bool) {
	at := bytes.Index(data, f.Block(0, n))
	if at < 0 {
		return data, false
	}
	switch damage {
	case Flip:
		data = bytes.Clone(data)
		data[at+len(f.Block(0, n))/2] ^= 8
		return data, true
	case Cut:
		return data[:at+len(f.Block(0, n))/2], true
	}
	return nil, true
}

// DamageIn does damage to a share in a store in memory, or in what behaves like one.
func (f *File) DamageIn(store interface {
	Damage(index share.StorageIndex, number share.Number, change func([]byte) []byte) bool
}, n share.Number, damage Damage,
) bool {
	return store.Damage(f.Index, n, func(data []byte) []byte {
		changed, _ := f.Spoil(data, n, damage)
		return changed
	})
}

func (s Suite) rechecker(t *testing.T, store share.Store) share.Rechecker {
	t.Helper()
	r, ok := store.(share.Rechecker)
	if !ok {
		t.Skip("the store is no share.Rechecker")
	}
	return r
}

func wantRecheck(t *testing.T, r share.Rechecker, f *File, n share.Number, segment int64, want bool) {
	t.Helper()
	if held, err := r.Recheck(t.Context(), f.Index, n, segment); err != nil || held != want {
		t.Errorf("recheck segment %d of share %d: held %v, %v, want %v", segment, n, held, err, want)
	}
}

// twos returns files of several sizes, of which the store holds shares 0 and 1.
func (s Suite) twos(t *testing.T, store share.Store) []*File {
	t.Helper()
	files := []*File{NewFile(t, 11, 2, 3, blockSize, 700), NewFile(t, 12, 2, 3, blockSize, 16*blockSize), NewFile(t, 13, 2, 3, 64<<10, 500<<10)}
	for _, f := range files {
		s.put(t, store, f, 0)
		s.put(t, store, f, 1)
	}
	return files
}

// testRecheck complains of shares that are good, and of those that are not held.
func (s Suite) testRecheck(t *testing.T) {
	store := s.Open(t)
	r := s.rechecker(t, store)
	for _, f := range s.twos(t, store) {
		for _, segment := range []int64{share.NoSegment, 0, f.Segments() - 1, f.Segments(), 1 << 40} {
			wantRecheck(t, r, f, 1, segment, true)
		}
		wantRecheck(t, r, f, 2, 0, false)
		wantRecheck(t, r, f, 255, share.NoSegment, false)
		wantHeld(t, store, f, 0, 1)
		wantCheck(t, store, f, 0, 1)
	}
	held, err := r.Recheck(t.Context(), share.StorageIndex{1}, 0, 0)
	if err != nil || held {
		t.Errorf("recheck of another file: %v, %v", held, err)
	}
}

// testRecheckDamaged damages shares: after a complaint they are not held any more, and can be stored again in every way.
func (s Suite) testRecheckDamaged(t *testing.T) {
	if s.Damage == nil {
		t.Skip("the store cannot be damaged")
	}
	for _, damage := range damages {
		t.Run(string(damage), func(t *testing.T) {
			store := s.Open(t)
			r := s.rechecker(t, store)
			for _, f := range s.twos(t, store) {
				wantCheck(t, store, f, 0, 1)
				if !s.Damage(t, store, f, 1, damage) {
					continue
				}
				wantRecheck(t, r, f, 0, 0, true)
				if damage == Flip {
					wantRecheck(t, r, f, 1, 0, false)
				} else {
					wantRecheck(t, r, f, 1, share.NoSegment, false)
				}
				wantHeld(t, store, f, 0)
				_, err := store.Open(t.Context(), f.Index, 1)
				wantError(t, "open a share that was damaged", err, share.ErrNotFound)
				wantRecheck(t, r, f, 1, 0, false)
				s.wantNotDone(t, store, f, 1)
				s.put(t, store, f, 1)
				wantHeld(t, store, f, 0, 1)
				wantCheck(t, store, f, 0, 1)
				wantRecheck(t, r, f, 1, 0, true)
				s.damageBatch(t, store, f, damage)
			}
		})
	}
}

// damageBatch damages a share and stores it with a batch.
func (s Suite) damageBatch(t *testing.T, store share.Store, f *File, damage Damage) {
	t.Helper()
	b, ok := store.(share.Batcher)
	if !ok || len(f.Share(1)) > share.MaxWholeShare || !s.Damage(t, store, f, 1, damage) {
		return
	}
	wantRecheck(t, store.(share.Rechecker), f, 1, share.NoSegment, false)
	verdicts, err := b.Put(t.Context(), []share.WholeShare{f.Whole(1)}, lease(s.owner(), time.Hour))
	if err := errors.Join(append(verdicts, err)...); err != nil {
		t.Errorf("put a share that was damaged: %v", err)
	}
	wantHeld(t, store, f, 0, 1)
	wantCheck(t, store, f, 0, 1)
}

// wantNotDone checks that the upload of a share is not told to be finished.
func (s Suite) wantNotDone(t *testing.T, store share.Store, f *File, n share.Number) {
	t.Helper()
	resumer, ok := store.(share.Resumer)
	if !ok {
		return
	}
	progress, err := resumer.Uploads(t.Context(), s.owner(), f.Key.UploadID())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range progress {
		if p.Number == n {
			t.Errorf("the upload of a share that was damaged: %+v", p)
		}
	}
}

// testRecheckAtOnce has many complain while others store.
func (s Suite) testRecheckAtOnce(t *testing.T) {
	if s.Damage == nil {
		t.Skip("the store cannot be damaged")
	}
	store := s.Open(t)
	r := s.rechecker(t, store)
	f := s.twos(t, store)[1]
	if !s.Damage(t, store, f, 1, Flip) {
		t.Skip("not damaged so")
	}
	var group errgroup.Group
	for i := range 12 {
		group.Go(func() error {
			if _, err := r.Recheck(t.Context(), f.Index, share.Number(i%2), 0); err != nil || i%4 != 3 {
				return err
			}
			return f.PutAs(t.Context(), store, 1, s.owner(), share.UploadID{byte(i)})
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	wantHeld(t, store, f, 0, 1)
	wantRecheck(t, r, f, 1, 0, true)
	wantCheck(t, store, f, 0, 1)
}

// testDamageRead reads what is cut or gone: the store notices by itself.
func (s Suite) testDamageRead(t *testing.T) {
	if s.Damage == nil {
		t.Skip("the store cannot be damaged")
	}
	for _, damage := range []Damage{Cut, Gone} {
		t.Run(string(damage), func(t *testing.T) {
			store := s.Open(t)
			s.rechecker(t, store)
			for _, f := range s.twos(t, store) {
				if !s.Damage(t, store, f, 1, damage) {
					continue
				}
				if err := f.Check(t.Context(), store, 1); err == nil {
					t.Error("a damaged share is read")
				}
				wantHeld(t, store, f, 0)
				s.put(t, store, f, 1)
				wantCheck(t, store, f, 0, 1)
			}
		})
	}
}
