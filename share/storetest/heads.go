package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/head"
)

// heads returns the store as one that keeps heads, or skips the test.
func heads(t *testing.T, store share.Store) share.HeadStore {
	t.Helper()
	h, ok := store.(share.HeadStore)
	if !ok {
		t.Skip("the store is no share.HeadStore")
	}
	return h
}

// set stores an update, which must succeed, and makes it the newest version.
func set(t *testing.T, store share.HeadStore, m *Mutable, u share.HeadUpdate) {
	t.Helper()
	if err := store.SetHead(t.Context(), u); err != nil {
		t.Fatalf("set version %d: %v", m.Head.Sequence+1, err)
	}
	m.Advance(u)
}

// wantHead checks which record is the newest of a name.
func wantHead(t *testing.T, store share.HeadStore, name share.Name, want []byte) {
	t.Helper()
	held, err := store.Heads(t.Context(), []share.Name{name}, false)
	if err != nil || len(held) != 1 || !bytes.Equal(held[0].Record, want) {
		t.Errorf("head: %d answers, %v; want the record %x", len(held), err, want[:min(len(want), 10)])
	}
}

// wantHistory checks which records are held of a name, newest first.
func wantHistory(t *testing.T, store share.HeadStore, name share.Name, want ...[]byte) {
	t.Helper()
	got, err := store.History(t.Context(), name, 0)
	if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("history: %d records, %v; want %d", len(got), err, len(want))
	}
}

// wantConflict checks that an error is a conflict with the record.
func wantConflict(t *testing.T, what string, err error, name share.Name, record []byte) {
	t.Helper()
	conflict, ok := errors.AsType[*share.ConflictError](err)
	if !ok || !errors.Is(err, share.ErrConflict) || conflict.Name != name || !bytes.Equal(conflict.Record, record) {
		t.Errorf("%s: got %v, want a conflict with the record %x", what, err, record[:min(len(record), 10)])
	}
}

// small returns a file of which a share may travel whole.
func small(t *testing.T, seed uint64) *File { return NewFile(t, seed, 1, 2, blockSize, 700) }

// testHeads writes versions of two names and reads them beside one that nobody wrote.
func (s Suite) testHeads(t *testing.T) {
	plain := s.Open(t)
	store := heads(t, plain)
	a, b, nobody := NewMutable(1), NewMutable(2), NewMutable(3)
	names := []share.Name{b.Name, nobody.Name, a.Name, b.Name}
	held, err := store.Heads(t.Context(), names, true)
	if err != nil || len(held) != 4 || slices.ContainsFunc(held, func(h share.HeldHead) bool { return h.Record != nil || len(h.Shares) > 0 }) {
		t.Fatalf("heads of an empty store: %v, %v", held, err)
	}
	wantHistory(t, store, a.Name)
	f, g := small(t, 1), small(t, 2)
	for _, m := range []*Mutable{a, b} {
		u := m.Next(f.Index, s.owner())
		u.Shares = []share.WholeShare{f.Whole(0)}
		set(t, store, m, u)
	}
	u := b.Next(g.Index, s.owner())
	u.Shares, u.Retention = []share.WholeShare{g.Whole(1), g.Whole(0)}, share.Retention{Versions: 5}
	first := b.Record
	set(t, store, b, u)
	for _, shares := range []bool{false, true} {
		held, err = store.Heads(t.Context(), names, shares)
		if err != nil || len(held) != 4 {
			t.Fatalf("heads: %v, %v", held, err)
		}
		for i, want := range [][]byte{b.Record, nil, a.Record, b.Record} {
			if !bytes.Equal(held[i].Record, want) {
				t.Errorf("head %d: another record", i)
			}
		}
		if shares {
			wantWhole(t, held[0].Shares, g.Whole(0), g.Whole(1))
			wantWhole(t, held[2].Shares, f.Whole(0))
		} else if held[0].Shares != nil || held[2].Shares != nil {
			t.Errorf("shares that nobody asked for: %v", held)
		}
	}
	wantHistory(t, store, b.Name, b.Record, first)
	wantHistory(t, store, a.Name, a.Record)
	wantHistory(t, store, nobody.Name)
	wantCheck(t, plain, f, 0)
	wantCheck(t, plain, g, 0, 1)
}

// testHeadHistory asks for parts of a history whose sequences have gaps.
func (s Suite) testHeadHistory(t *testing.T) {
	store := heads(t, s.Open(t))
	m := NewMutable(1)
	sequences := []uint64{1, 2, 5, 6, 9}
	var records [][]byte
	for _, sequence := range sequences {
		m.Head.Sequence = sequence - 1
		u := m.Next(share.StorageIndex{byte(sequence)}, s.owner())
		u.Retention = share.Retention{Versions: 10}
		set(t, store, m, u)
		records = append([][]byte{u.Record}, records...)
	}
	for since, want := range map[uint64]int{0: 5, 1: 5, 2: 4, 3: 3, 5: 3, 6: 2, 7: 1, 9: 1, 10: 0, math.MaxUint64: 0} {
		got, err := store.History(t.Context(), m.Name, since)
		if err != nil || !slices.EqualFunc(got, records[:want], bytes.Equal) {
			t.Errorf("history since %d: %d records, %v; want %d", since, len(got), err, want)
		}
	}
	if got, err := store.History(t.Context(), NewMutable(2).Name, 3); err != nil || len(got) != 0 {
		t.Errorf("history of a name that nobody wrote: %d records, %v", len(got), err)
	}
}

// testHeadConflicts tries every update that does not follow what is held.
func (s Suite) testHeadConflicts(t *testing.T) {
	store := heads(t, s.Open(t))
	m := NewMutable(1)
	f := small(t, 1)
	early := m.Next(f.Index, s.owner())
	early.Replaces = share.Digest{1}
	wantConflict(t, "the first, which replaces another", store.SetHead(t.Context(), early), m.Name, nil)
	set(t, store, m, m.Next(f.Index, s.owner()))
	old := *m
	u := m.Next(f.Index, s.owner())
	u.Retention = share.Retention{Versions: 2}
	set(t, store, m, u)
	for what, change := range map[string]func(u *share.HeadUpdate){
		"a stale base":           func(u *share.HeadUpdate) { u.Replaces = old.Head.Digest },
		"no base":                func(u *share.HeadUpdate) { u.Replaces = share.Digest{} },
		"an unknown base":        func(u *share.HeadUpdate) { u.Replaces[0] ^= 1 },
		"the same sequence":      func(u *share.HeadUpdate) { u.Record = m.Sign(head.Head{Sequence: 2, Root: share.StorageIndex{5}}) },
		"a lower sequence":       func(u *share.HeadUpdate) { u.Record = m.Sign(head.Head{Sequence: 1, Root: share.StorageIndex{5}}) },
		"the same, another root": func(u *share.HeadUpdate) { u.Record = old.Next(share.StorageIndex{7}, "").Record },
	} {
		u := m.Next(f.Index, s.owner())
		u.Shares = []share.WholeShare{f.Whole(1)}
		change(&u)
		wantConflict(t, what, store.SetHead(t.Context(), u), m.Name, m.Record)
	}
	again := old.Next(f.Index, s.owner())
	again.Record = m.Record
	if err := store.SetHead(t.Context(), again); err != nil {
		t.Errorf("the newest record again: %v", err)
	}
	again.Record = old.Record
	if err := store.SetHead(t.Context(), again); err != nil {
		t.Errorf("a past record again: %v", err)
	}
	wantHistory(t, store, m.Name, m.Record, old.Record)
	jump := m.Next(f.Index, s.owner())
	jump.Record = m.Sign(head.Head{Sequence: 1 << 40, Root: f.Index})
	set(t, store, m, jump)
	wantHead(t, store, m.Name, jump.Record)
}

// testHeadRefused tries updates that are wrong in themselves. None leaves a trace.
func (s Suite) testHeadRefused(t *testing.T) {
	plain := s.Open(t)
	store := heads(t, plain)
	m, other := NewMutable(1), NewMutable(2)
	f, g, large := NewFile(t, 1, 2, 3, blockSize, 700), small(t, 2), NewFile(t, 3, 1, 2, 64<<10, 130<<10)
	for _, before := range []string{"first", "later"} {
		for what, c := range map[string]struct {
			want   error
			change func(u *share.HeadUpdate)
		}{
			"a forged signature": {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Record[10] ^= 1 }},
			"forged contents":    {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Record[len(u.Record)-1] ^= 1 }},
			"another's record":   {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Record = other.Next(f.Index, "").Record }},
			"no record":          {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Record = nil }},
			"half a record":      {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Record = u.Record[:len(u.Record)/2] }},
			"a long record":      {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Record = make([]byte, share.MaxHeadRecord+1) }},
			"a corrupt share":    {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Data[0] ^= 1 }},
			"another's share":    {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Index = g.Index }},
			"another number":     {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Number = 0 }},
			"a high number":      {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Number = 3 }},
			"a cut share":        {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Data = u.Shares[1].Data[1:] }},
			"an empty share":     {share.ErrCorrupt, func(u *share.HeadUpdate) { u.Shares[1].Data = nil }},
			"a large share":      {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Shares[1] = large.Whole(0) }},
			"many shares":        {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Shares = make([]share.WholeShare, share.MaxBatchShares+1) }},
			"many bytes":         {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Shares = tooMany() }},
			"many files added":   {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Adds = make([]share.StorageIndex, share.MaxHeadIndexes+1) }},
			"many files dropped": {share.ErrTooLarge, func(u *share.HeadUpdate) { u.Drops = make([]share.StorageIndex, share.MaxHeadIndexes+1) }},
			"an ended lease":     {share.ErrDenied, func(u *share.HeadUpdate) { u.Lease.Expires = time.Now().Add(-time.Hour) }},
			"an endless lease":   {share.ErrDenied, func(u *share.HeadUpdate) { u.Lease.Expires = time.Now().Add(2 * share.MaxLease) }},
		} {
			u := m.Next(f.Index, s.owner())
			u.Shares = []share.WholeShare{f.Whole(0), f.Whole(1)}
			c.change(&u)
			wantError(t, before+", "+what, store.SetHead(t.Context(), u), c.want)
		}
		wantHead(t, store, m.Name, m.Record)
		wantHeld(t, plain, f)
		set(t, store, m, m.Next(share.StorageIndex{1}, s.owner()))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "cancelled", store.SetHead(cancelled, m.Next(f.Index, s.owner())), context.Canceled)
	_, err := store.Heads(cancelled, []share.Name{m.Name}, false)
	wantError(t, "heads cancelled", err, context.Canceled)
	_, err = store.Heads(t.Context(), make([]share.Name, share.MaxHeadNames+1), false)
	wantError(t, "heads of too many names", err, share.ErrTooLarge)
	wantHead(t, store, m.Name, m.Record)
}

// tooMany returns shares of more bytes than may be sent at once.
func tooMany() []share.WholeShare {
	data := make([]byte, share.MaxWholeShare)
	return slices.Repeat([]share.WholeShare{{Data: data}}, share.MaxBatchBytes/len(data)+1)
}

// testHeadSetters has several writers set versions of one name at once: one of them succeeds in each round, and the others learn of it.
func (s Suite) testHeadSetters(t *testing.T) {
	store := heads(t, s.Open(t))
	m := NewMutable(1)
	f := small(t, 1)
	for round := range 6 {
		updates := make([]share.HeadUpdate, 8)
		for i := range updates {
			updates[i] = m.Next(share.StorageIndex{byte(round + 1), byte(i + 1)}, s.owner())
			updates[i].Shares = []share.WholeShare{f.Whole(share.Number(i % 2))}
		}
		errs := make([]error, len(updates))
		var group sync.WaitGroup
		for i := range updates {
			group.Go(func() { errs[i] = store.SetHead(t.Context(), updates[i]) })
		}
		group.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("round %d: nobody succeeded: %v", round, errs)
		}
		m.Advance(updates[winner])
		for i, err := range errs {
			if i != winner {
				wantConflict(t, "a loser", err, m.Name, m.Record)
			}
		}
		wantHead(t, store, m.Name, m.Record)
	}
}

// testHeadReopened closes the store and looks whether everything is there.
func (s Suite) testHeadReopened(t *testing.T) {
	if s.Reopen == nil {
		t.Skip("the store forgets")
	}
	plain := s.Open(t)
	store := heads(t, plain)
	m := NewMutable(1)
	var records [][]byte
	var last *File
	for i := range 20 {
		last = small(t, uint64(i))
		u := m.Next(last.Index, s.owner())
		u.Shares, u.Retention = []share.WholeShare{last.Whole(0)}, share.Retention{Versions: 5}
		set(t, store, m, u)
		records = append([][]byte{u.Record}, records...)
	}
	plain = s.Reopen(t, plain)
	store = heads(t, plain)
	wantHistory(t, store, m.Name, records[:5]...)
	wantCheck(t, plain, last, 0)
	held, err := store.Heads(t.Context(), []share.Name{m.Name}, true)
	if err != nil || len(held) != 1 {
		t.Fatalf("heads: %v, %v", held, err)
	}
	wantWhole(t, held[0].Shares, last.Whole(0))
	stale := m.Next(share.StorageIndex{1}, s.owner())
	stale.Replaces = digestOf(records[1])
	wantConflict(t, "a stale base", store.SetHead(t.Context(), stale), m.Name, m.Record)
	u := m.Next(share.StorageIndex{1}, s.owner())
	u.Retention = share.Retention{Versions: 2}
	set(t, store, m, u)
	wantHistory(t, store, m.Name, u.Record, records[0])
}

// MaxHistory checks that a store keeps no more than share.MaxHistory versions of a name. It writes somewhat more than that, which takes
// seconds where each is synced, and so is not part of Run.
func MaxHistory(t *testing.T, store share.HeadStore) {
	t.Helper()
	m := NewMutable(1)
	for i := range share.MaxHistory + 5 {
		u := m.Next(share.StorageIndex{1, byte(i), byte(i >> 8)}, "alice")
		u.Retention = share.Retention{Versions: 1 << 30, Age: 1 << 62}
		set(t, store, m, u)
	}
	got, err := store.History(t.Context(), m.Name, 0)
	if err != nil || len(got) != share.MaxHistory || !bytes.Equal(got[0], m.Record) {
		t.Errorf("history: %d records, %v; want %d", len(got), err, share.MaxHistory)
	}
}
