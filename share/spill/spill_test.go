package spill_test

import (
	"log/slog"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/disk"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
)

// A setting is how full the near store is while a test runs.
type setting struct {
	name  string
	offer int64 // of the near store, 0 for plenty
	o     spill.Options
}

var settings = []setting{
	{"Room", 0, spill.Options{}},
	{"FullFromTheStart", 1, spill.Options{}},
	{"AboveTheMark", 0, spill.Options{High: 1e-12}},       // heads have room, shares have not
	{"FullInTheMiddle", 30 << 10, spill.Options{High: 1}}, // also in the middle of an upload
}

func log(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func collect(t *testing.T, s *spill.Store, ahead time.Duration) {
	t.Helper()
	for _, part := range []spill.Part{s.Near(), s.Far()} {
		switch part := part.(type) {
		case *memory.Store:
			part.Collect(time.Now().Add(ahead))
		case *disk.Store:
			if _, err := part.Collect(t.Context(), time.Now().Add(ahead)); err != nil {
				t.Fatalf("collect: %v", err)
			}
		}
	}
	if err := s.Settle(t.Context()); err != nil {
		t.Fatalf("settle: %v", err)
	}
}

func TestMemory(t *testing.T) {
	for _, with := range settings {
		t.Run(with.name, func(t *testing.T) {
			t.Parallel()
			storetest.Suite{
				Open: func(t *testing.T) share.Store {
					o := with.o
					o.Logger = log(t)
					return spill.New(memory.New(memory.Options{Offer: with.offer}), memory.New(memory.Options{}), o)
				},
				Collect: func(t *testing.T, store share.Store, ahead time.Duration) { collect(t, store.(*spill.Store), ahead) },
				Damage: func(_ *testing.T, store share.Store, f *storetest.File, n share.Number, damage storetest.Damage) bool {
					s := store.(*spill.Store)
					return f.DamageIn(s.Near().(*memory.Store), n, damage) || f.DamageIn(s.Far().(*memory.Store), n, damage)
				},
			}.Run(t)
		})
	}
}

func openDisk(t *testing.T, dir string, o disk.Options) *disk.Store {
	t.Helper()
	o.Logger = log(t)
	store, err := disk.Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

func TestDisk(t *testing.T) {
	for _, with := range settings[2:3] {
		t.Run(with.name, func(t *testing.T) {
			t.Parallel()
			dirs := map[share.Store]string{}
			storetest.Suite{
				Open: func(t *testing.T) share.Store {
					dir := t.TempDir()
					store := spill.New(openDisk(t, dir, disk.Options{Offer: with.offer}), memory.New(memory.Options{}), with.o)
					dirs[store] = dir
					return store
				},
				Reopen: func(t *testing.T, store share.Store) share.Store {
					old := store.(*spill.Store)
					if err := old.Near().(*disk.Store).Close(); err != nil {
						t.Fatalf("close: %v", err)
					}
					reopened := spill.New(openDisk(t, dirs[store], disk.Options{Offer: with.offer}), old.Far(), with.o)
					dirs[reopened] = dirs[store]
					return reopened
				},
				Collect: func(t *testing.T, store share.Store, ahead time.Duration) { collect(t, store.(*spill.Store), ahead) },
			}.Run(t)
		})
	}
}
