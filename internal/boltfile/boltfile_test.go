package boltfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"cairn/internal/boltfile"
)

var bucket = []byte("bucket")

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	fill(t, path, 10)
	f := open(t, path)
	if err := f.View(func(tx *bolt.Tx) error {
		if got := string(tx.Bucket(bucket).Get([]byte("key 7"))); got != "value 7" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if _, err := boltfile.Open(path, 1, bucket); !errors.Is(err, boltfile.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := boltfile.Open(filepath.Join(path, "below"), 1); err == nil || errors.Is(err, boltfile.ErrDamaged) {
		t.Errorf("a path below a file: %v", err)
	}
}

// TestDamage cuts a file everywhere and turns bits in it: each is an error or works, none takes the program down.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	fill(t, path, 500)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for at := 0; at < len(good); at += 997 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x40
		for _, data := range [][]byte{good[:at], bad} {
			if !usable(t, path, data) {
				damaged++
			}
		}
	}
	if damaged == 0 {
		t.Error("no damage was noticed")
	}
}

func usable(t *testing.T, path string, data []byte) bool {
	t.Helper()
	_ = os.Remove(path) // an earlier one that bbolt did not let go of keeps its lock
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := boltfile.Open(path, 1, bucket)
	if err != nil {
		if !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
		return false
	}
	err = f.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { return nil })
	})
	if err == nil {
		err = f.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put([]byte("new"), []byte("value")) })
	}
	_ = f.Close() // of a damaged file, whatever it says
	return err == nil
}

func open(t *testing.T, path string) *boltfile.File {
	t.Helper()
	f, err := boltfile.Open(path, 1, bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func fill(t *testing.T, path string, n int) {
	t.Helper()
	f, err := boltfile.Open(path, 1, bucket)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Update(func(tx *bolt.Tx) error {
		for i := range n {
			if err := tx.Bucket(bucket).Put(fmt.Appendf(nil, "key %d", i), fmt.Appendf(nil, "value %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
