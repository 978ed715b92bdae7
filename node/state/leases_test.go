package state_test

import (
	"path/filepath"
	"testing"
	"time"

	"cairn/share"
)

func TestLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if !s.LastRound().IsZero() || !s.Renewed(share.StorageIndex{1}).IsZero() {
		t.Error("something is remembered that never was")
	}
	early, late := time.Unix(1700000000, 0), time.Unix(1800000000, 0)
	for _, err := range []error{
		s.SetRenewed([]share.StorageIndex{{1}, {2}}, early), s.SetRenewed([]share.StorageIndex{{2}, {3}}, late), s.SetRound(late), s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path)
	defer s.Close()
	if !s.LastRound().Equal(late) {
		t.Errorf("the last round was %v", s.LastRound())
	}
	for i, want := range map[byte]time.Time{1: early, 2: late, 3: late} {
		if got := s.Renewed(share.StorageIndex{i}); !got.Equal(want) {
			t.Errorf("%d was renewed %v, want %v", i, got, want)
		}
	}
	if err := s.ForgetRenewed(late); err != nil {
		t.Fatal(err)
	}
	if !s.Renewed(share.StorageIndex{1}).IsZero() || s.Renewed(share.StorageIndex{2}).IsZero() {
		t.Error("forgetting what is old forgot something else")
	}
}
