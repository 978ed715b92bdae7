package backup_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cairn/node/backup"
	"cairn/node/localtree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A clock is set by hand.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func openMemory(t *testing.T, path string, c *clock) *backup.Memory {
	t.Helper()
	m, err := backup.OpenMemory(path, c.time)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newCapability() capability.Capability {
	return capability.File(share.StorageIndex(sha256.Sum256([]byte("a root"))), keys.NewReadKey())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMemory(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "memory"), &clock{day("2026-11-22 12:00")}
	m := openMemory(t, path, c)
	files := m.For("/home/me", 24*time.Hour)
	e := localtree.Entry{Path: "a/b", Size: 5, Modified: c.now, ID: localtree.ID{Inode: 7}}
	stored := newCapability()
	must(t, files.Remember(e, stored))
	must(t, files.RememberFolder(sha256.Sum256(nil), stored))
	must(t, m.Close())

	m = openMemory(t, path, c)
	defer func() { must(t, m.Close()) }()
	files = m.For("/home/me", 24*time.Hour)
	if got, ok := files.Stored(e); !ok || !got.Equal(stored) {
		t.Errorf("after a restart: %v, %v", got, ok)
	}
	if got, ok := files.Folder(sha256.Sum256(nil)); !ok || !got.Equal(stored) {
		t.Errorf("folder after a restart: %v, %v", got, ok)
	}
	if _, ok := m.For("/home/you", time.Hour).Stored(e); ok {
		t.Error("known in another folder")
	}
	for name, other := range map[string]func(*localtree.Entry){
		"path":    func(e *localtree.Entry) { e.Path = "a/c" },
		"size":    func(e *localtree.Entry) { e.Size++ },
		"time":    func(e *localtree.Entry) { e.Modified = e.Modified.Add(1) },
		"inode":   func(e *localtree.Entry) { e.ID.Inode++ },
		"changed": func(e *localtree.Entry) { e.ID.Changed++ },
		"kind":    func(e *localtree.Entry) { e.Kind = localtree.Link },
	} {
		changed := e
		other(&changed)
		if _, ok := files.Stored(changed); ok {
			t.Errorf("another %s is taken for the same file", name)
		}
	}
	c.now = c.now.Add(24 * time.Hour)
	if _, ok := files.Stored(e); ok {
		t.Error("relied on after its time")
	}
	must(t, m.Sweep())
	c.now = day("2026-11-22 12:00")
	if _, ok := files.Stored(e); ok {
		t.Error("still there after it was swept")
	}
}

func TestMemoryInUse(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "memory"), &clock{}
	m := openMemory(t, path, c)
	defer func() { must(t, m.Close()) }()
	if _, err := backup.OpenMemory(path, nil); !errors.Is(err, backup.ErrInUse) {
		t.Errorf("got %v", err)
	}
}

// TestMemoryDamaged begins anew with every kind of rubbish, and never trusts what was changed.
func TestMemoryDamaged(t *testing.T) {
	c := &clock{day("2026-11-22 12:00")}
	path := filepath.Join(t.TempDir(), "memory")
	m := openMemory(t, path, c)
	e, stored := localtree.Entry{Path: "x"}, newCapability()
	must(t, m.For("/", time.Hour).Remember(e, stored))
	must(t, m.Close())
	good, err := os.ReadFile(path)
	must(t, err)
	for _, cut := range []int{1, 100, 4096, 5000, len(good) / 2} {
		must(t, os.WriteFile(path, good[:cut], 0o600))
		m := openMemory(t, path, c)
		must(t, m.Close())
	}
	for at := 0; at < len(good); at += 61 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x40
		must(t, os.WriteFile(path, bad, 0o600))
		m, err := backup.OpenMemory(path, c.time)
		if err != nil {
			continue // told is as good as begun anew
		}
		if got, ok := m.For("/", time.Hour).Stored(e); ok && !got.Equal(stored) {
			t.Fatalf("byte %d changed: another capability came out", at)
		}
		_ = m.Close()
	}
}
