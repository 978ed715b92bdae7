package state_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"cairn/grid/mutable"
	"cairn/node/state"
	"cairn/share"
	"cairn/share/head"
)

var _ mutable.Keeper = (*state.State)(nil)

// TestKept: refused versions are remembered from one run to the next, for each name, until their time is over, a hundred of each.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	open := func() *state.State {
		t.Helper()
		s, err := state.Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	version := func(name, n byte) head.Head {
		return head.Head{
			Name: share.Name{name}, Sequence: uint64(n), Root: share.StorageIndex{n}, Digest: share.Digest{n}, Parents: []share.Digest{{n + 1}},
			Written: time.UnixMilli(1_800_000_000_000 + int64(n)).UTC(),
		}
	}
	keep := func(h head.Head, until time.Time) {
		t.Helper()
		if err := s.Keep(h, until); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.Now().Add(time.Hour)
	keep(version(1, 7), soon)
	keep(version(1, 8), time.Now().Add(-time.Second))
	for n := range byte(120) {
		keep(version(2, n), soon.Add(time.Duration(n)*time.Second))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	got, err := s.Kept(share.Name{1})
	if want := version(1, 7); err != nil || len(got) != 1 || got[0].Digest != want.Digest || got[0].Root != want.Root ||
		got[0].Sequence != want.Sequence || !got[0].Written.Equal(want.Written) || len(got[0].Parents) != 1 {
		t.Errorf("kept %v, %v", got, err)
	}
	if got, err = s.Kept(share.Name{2}); err != nil || len(got) != 100 || got[0].Sequence != 20 {
		t.Errorf("kept %d of the second name, the first is %v, %v", len(got), got[:1], err)
	}
	if got, err = s.Kept(share.Name{3}); err != nil || len(got) != 0 {
		t.Errorf("kept %v of a name of which nothing was refused, %v", got, err)
	}
}
