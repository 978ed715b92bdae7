package disk_test

import (
	"log/slog"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/disk"
	"cairn/share/storetest"
)

func open(t *testing.T, dir string, o disk.Options) *disk.Store {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
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

func TestStore(t *testing.T) {
	dirs := map[share.Store]string{}
	storetest.Suite{
		Open: func(t *testing.T) share.Store {
			dir := t.TempDir()
			store := open(t, dir, disk.Options{})
			dirs[store] = dir
			return store
		},
		Reopen: func(t *testing.T, store share.Store) share.Store {
			dir := dirs[store]
			if err := store.(*disk.Store).Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			reopened := open(t, dir, disk.Options{})
			dirs[reopened] = dir
			return reopened
		},
		Collect: func(t *testing.T, store share.Store, ahead time.Duration) {
			if _, err := store.(*disk.Store).Collect(t.Context(), time.Now().Add(ahead)); err != nil {
				t.Fatalf("collect: %v", err)
			}
		},
	}.Run(t)
}
