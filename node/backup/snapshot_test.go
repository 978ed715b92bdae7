package backup_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"cairn/node/backup"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

func TestNames(t *testing.T) {
	when := time.Date(2026, 11, 22, 6, 7, 8, 999, time.FixedZone("", 3600))
	if got := backup.Name(when); got != "2026-11-22T05-07-08Z" {
		t.Errorf("got %s", got)
	}
	all := backup.Snapshots([]string{"Latest", "2026-11-22T05-07-08Z", "notes", "2025-01-01T00-00-00Z", "2026-11-22T5-7-8Z", "2026-13-01T00-00-00Z"})
	if len(all) != 2 || all[0].Name != "2025-01-01T00-00-00Z" || !all[1].Time.Equal(when.Truncate(time.Second)) {
		t.Errorf("got %+v", all)
	}
}

// TestFree begins two snapshots in one second: neither takes the other's name.
func TestFree(t *testing.T) {
	began := time.Date(2026, 11, 22, 23, 59, 58, 999, time.UTC)
	var all []backup.Snapshot
	for _, want := range []string{"2026-11-22T23-59-58Z", "2026-11-22T23-59-59Z", "2026-11-23T00-00-00Z"} {
		name := backup.Free(all, began)
		s, ok := backup.ParseName(name)
		if name != want || !ok {
			t.Fatalf("got %q, want %q", name, want)
		}
		all = append(all, s)
	}
}

func TestSelect(t *testing.T) {
	all := backup.Snapshots([]string{"2025-01-01T00-00-00Z", "2026-11-21T00-00-00Z", "2026-11-22T00-00-00Z"})
	for text, want := range map[string]string{
		"latest": "2026-11-22T00-00-00Z", "2025": "2025-01-01T00-00-00Z", "2026-11-21": "2026-11-21T00-00-00Z",
		"2026-11-22T00-00-00Z": "2026-11-22T00-00-00Z",
	} {
		if got, err := backup.Select(all, text); err != nil || got.Name != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if _, err := backup.Select(all, "2026"); !errors.Is(err, backup.ErrAmbiguous) {
		t.Errorf("two fit: %v", err)
	}
	for _, text := range []string{"2024", "", "yesterday"} {
		if _, err := backup.Select(all, text); !errors.Is(err, share.ErrNotFound) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := backup.Select(nil, "latest"); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("no snapshot: %v", err)
	}
}

// A maker counts the directories that are made.
type maker struct{ made int }

func (m *maker) MakeImmutable(context.Context, []transfer.Item) (capability.Capability, error) {
	m.made++
	return newCapability(), nil
}

func TestFoldersAreMadeOnce(t *testing.T) {
	memory := openMemory(t, filepath.Join(t.TempDir(), "memory"), &clock{day("2026-11-22 12:00")})
	defer func() { must(t, memory.Close()) }()
	m := &maker{}
	f := backup.Folders{Maker: m, Files: memory.For("/", time.Hour)}
	items := []transfer.Item{{Name: "a", Capability: newCapability(), Size: 3}, {Name: "b", Capability: newCapability()}}
	make := func() capability.Capability {
		c, _, err := f.Folder(t.Context(), localtree.Entry{}, items)
		must(t, err)
		must(t, memory.Flush())
		return c
	}
	first := make()
	if again := make(); m.made != 1 || !again.Equal(first) {
		t.Errorf("made %d times", m.made)
	}
	items[1].Executable = true
	if make(); m.made != 2 {
		t.Error("an attribute changed and the folder did not")
	}
	items[0].Name, items[1].Name = "ab", ""
	if make(); m.made != 3 {
		t.Error("names changed and the folder did not")
	}
}
