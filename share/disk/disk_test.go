package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
		Damage: func(t *testing.T, store share.Store, f *storetest.File, n share.Number, damage storetest.Damage) bool {
			return hurt(t, dirs[store], f, n, damage)
		},
	}.Run(t)
}

// hurt damages a share in its file, or by a bit in the journal.
func hurt(t *testing.T, dir string, f *storetest.File, n share.Number, damage storetest.Damage) bool {
	t.Helper()
	name := filepath.Join(dir, "shares", fmt.Sprintf("%02x", f.Index[0]), f.Index.String()+"."+n.String())
	if _, err := os.Stat(name); err != nil {
		segments, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
		if damage != storetest.Flip || err != nil || len(segments) == 0 {
			return false
		}
		name = segments[len(segments)-1]
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, f.Block(0, n))
	if at < 0 {
		return false
	}
	if damage == storetest.Gone {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		return true
	}
	changed, _ := f.Spoil(data[at:], n, damage)
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(changed, int64(at))
		if damage == storetest.Cut {
			err = errors.Join(err, file.Truncate(int64(at+len(changed))))
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}
