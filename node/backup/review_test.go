package backup_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cairn/node/localtree"
	"cairn/share/capability"
)

// TestReview: what was remembered when less was wanted is asked about once, and what has outgrown is forgotten.
func TestReview(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "memory"), &clock{day("2026-11-22 12:00")}
	m := openMemory(t, path, c)
	stored := newCapability()
	entry := func(i int) localtree.Entry { return localtree.Entry{Path: fmt.Sprintf("%04d", i), Modified: c.now} }
	const many = 1500
	files := m.For("/home/me", 24*time.Hour)
	other := m.For("/home/you", 24*time.Hour)
	none := func(context.Context, []capability.Capability) ([]int, error) { return nil, nil }
	must(t, files.Review(t.Context(), 1, none))
	for i := range many {
		must(t, files.Remember(entry(i), stored))
	}
	must(t, other.Remember(entry(0), stored))
	folder := sha256.Sum256([]byte("folder"))
	must(t, files.RememberFolder(folder, stored))

	asked, calls := 0, 0
	must(t, files.Review(t.Context(), 3, func(_ context.Context, caps []capability.Capability) ([]int, error) {
		calls++
		asked += len(caps)
		if calls == 1 {
			return []int{0, 7}, nil
		}
		return []int{len(caps) - 1}, nil // the folder comes last
	}))
	if asked != many+1 || calls != 2 {
		t.Errorf("%d were asked about in %d calls, want %d in 2", asked, calls, many+1)
	}
	for i := range many {
		if _, ok := files.Stored(entry(i)); ok == (i == 0 || i == 7) {
			t.Errorf("file %d is known: %v", i, ok)
		}
	}
	if _, ok := files.Folder(folder); ok {
		t.Error("a folder that has outgrown is known")
	}
	if _, ok := other.Stored(entry(0)); !ok {
		t.Error("a file of another folder was forgotten")
	}
	must(t, files.Remember(entry(0), stored))
	must(t, files.Review(t.Context(), 3, func(_ context.Context, caps []capability.Capability) ([]int, error) {
		t.Errorf("asked again, about %d", len(caps))
		return nil, nil
	}))
	failed := errors.New("the grid is away")
	if err := files.Review(t.Context(), 4, func(context.Context, []capability.Capability) ([]int, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("a failure is %v", err)
	}
	if _, ok := files.Stored(entry(1)); !ok {
		t.Error("a file was forgotten although nobody could be asked")
	}
	must(t, m.Close())
}
