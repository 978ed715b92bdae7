package memory_test

import (
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

func TestStore(t *testing.T) {
	storetest.Suite{
		Open: func(t *testing.T) share.Store { return memory.New(memory.Options{}) },
		Collect: func(_ *testing.T, store share.Store, ahead time.Duration) {
			store.(*memory.Store).Collect(time.Now().Add(ahead))
		},
		Damage: func(_ *testing.T, store share.Store, f *storetest.File, n share.Number, damage storetest.Damage) bool {
			return f.DamageIn(store.(*memory.Store), n, damage)
		},
	}.Run(t)
}

func TestMaxHistory(t *testing.T) { storetest.MaxHistory(t, memory.New(memory.Options{})) }

func TestOffer(t *testing.T) {
	store := memory.New(memory.Options{Offer: 10 << 10})
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 8<<10)
	if err := f.Put(t.Context(), store, 0, "alice"); err != nil {
		t.Fatalf("put: %v", err)
	}
	if err := f.Put(t.Context(), store, 1, "alice"); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("put beyond the offer: %v", err)
	}
	u := f.Upload(1, "alice")
	u.Size = -1
	w, err := store.Create(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(t.Context(), w, 1, 0, 2); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("append beyond the offer: %v", err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	store := memory.New(memory.Options{})
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 8<<10)
	for i := range memory.MaxSessions + 10 {
		u := f.Upload(0, "alice")
		u.ID[0], u.ID[1] = byte(i), byte(i>>8)
		w, err := store.Create(t.Context(), u)
		if err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
		if err := f.Append(t.Context(), w, 0, 0, 1); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	space, err := store.Space(t.Context())
	if want := int64(memory.MaxSessions * (4<<10 + 2*32)); err != nil || space.Used != want {
		t.Errorf("space: %+v, %v; want %d used", space, err, want)
	}
}
