package storetest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"cairn/share"
)

// testMoveName gives what a store holds of a name to another one, and drops it.
func (s Suite) testMoveName(t *testing.T) {
	store := s.Open(t)
	m, ok := store.(share.NameMover)
	if !ok {
		t.Skip("the store is no share.NameMover")
	}
	heads := store.(share.HeadStore)
	var names []share.Name
	for seed := range uint64(5) {
		mutable := NewMutable(seed)
		for range seed + 1 {
			page := small(t, seed)
			u := mutable.Next(page.Index, s.owner())
			u.Retention, u.Drops = share.Retention{Versions: 4, Age: time.Hour}, nil
			u.Shares = []share.WholeShare{page.Whole(0)}
			if err := heads.SetHead(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			mutable.Advance(u)
		}
		names = append(names, mutable.Name)
	}
	slices.SortFunc(names, func(a, b share.Name) int { return bytes.Compare(a[:], b[:]) })
	var got []share.Name
	for after := (share.Name{}); ; after = got[len(got)-1] {
		page, err := m.Names(t.Context(), after, 2)
		if err != nil || len(page) > 2 {
			t.Fatalf("names: %d, %v", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if !slices.Equal(got, names) {
		t.Fatalf("%d names are listed, want %d", len(got), len(names))
	}
	for _, name := range names {
		s.moveName(t, heads, m, name)
	}
	_, err := m.Updates(t.Context(), share.Name{9})
	wantError(t, "updates of a name that is not held", err, share.ErrNotFound)
}

func (s Suite) moveName(t *testing.T, from share.HeadStore, m share.NameMover, name share.Name) {
	t.Helper()
	want, err := from.History(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	updates, err := m.Updates(t.Context(), name)
	if err != nil || len(updates) != len(want) {
		t.Fatalf("updates: %d, %v; %d versions are held", len(updates), err, len(want))
	}
	to := s.Open(t).(share.HeadStore)
	for i, u := range updates {
		if err := to.SetHead(t.Context(), u); err != nil {
			t.Fatalf("update %d elsewhere: %v", i+1, err)
		}
	}
	got, err := to.History(t.Context(), name, 0)
	if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("elsewhere are %d versions, %v; want %d", len(got), err, len(want))
	}
	last := updates[len(updates)-1]
	if last.Retention != (share.Retention{Versions: 4, Age: time.Hour}) || last.Lease.Owner != s.owner() || len(last.Adds) != 1 {
		t.Errorf("the newest update: %+v", last)
	}
	wantError(t, "drop what is not the newest", m.DropName(t.Context(), name, share.Digest{1}), share.ErrConflict)
	for range 2 { // the second time it is gone already
		if err := m.DropName(t.Context(), name, digestOf(want[0])); err != nil {
			t.Fatalf("drop: %v", err)
		}
	}
	if held, err := from.Heads(t.Context(), []share.Name{name}, false); err != nil || held[0].Record != nil {
		t.Errorf("dropped, but %v, %v", held, err)
	}
}
