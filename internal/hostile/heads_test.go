package hostile_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"cairn/internal/hostile"
	"cairn/share"
	"cairn/share/column"
	"cairn/share/head"
	"cairn/share/storetest"
)

// TestHostileHeads: what each behaviour does to heads and batches, and that the signature tells what is forged.
func TestHostileHeads(t *testing.T) {
	s := setUp(t, hostile.Honest)
	m := storetest.NewMutable(1)
	f := storetest.NewFile(t, 9, 1, 2, 4096, 500)
	set := func() error {
		u := m.Next(f.Index, s.self)
		u.Shares = []share.WholeShare{f.Whole(0)}
		err := s.SetHead(t.Context(), u)
		if err == nil {
			m.Advance(u)
		}
		return err
	}
	for range 3 {
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	held := func() share.HeldHead {
		t.Helper()
		got, err := s.Heads(t.Context(), []share.Name{m.Name}, true)
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	if got := held(); !bytes.Equal(got.Record, m.Record) || len(got.Shares) != 1 {
		t.Error("an honest peer does not give the newest head")
	}
	s.peer.Become(hostile.Repeats)
	if h, err := head.Parse(m.Name, held().Record); err != nil || h.Sequence != 1 {
		t.Errorf("a peer that repeats: version %d, %v", h.Sequence, err)
	}
	s.peer.Become(hostile.ForgesHeads)
	if _, err := head.Parse(m.Name, held().Record); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("a forged head: %v", err)
	}
	s.peer.Become(hostile.Lies)
	if _, err := column.CheckWhole(held().Shares[0]); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("a share that was changed: %v", err)
	}
	s.peer.Become(hostile.Claims)
	if got := held(); got.Record == nil || len(got.Shares) != 0 {
		t.Errorf("a peer that has no shares gives %d", len(got.Shares))
	}
	s.peer.Become(hostile.Conflicts)
	conflict, ok := errors.AsType[*share.ConflictError](set())
	if !ok {
		t.Fatal("no conflict")
	}
	if _, err := head.Parse(m.Name, conflict.Record); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("the conflict's head: %v", err)
	}
	s.peer.Become(hostile.Refuses)
	if err := set(); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("a peer that refuses: %v", err)
	}
	s.peer.Become(hostile.Forgets)
	last := m.Record
	if err := set(); err != nil {
		t.Errorf("a peer that forgets: %v", err)
	}
	if got := held(); !bytes.Equal(got.Record, last) {
		t.Error("a forgotten head is there")
	}
	g := storetest.NewFile(t, 10, 1, 2, 4096, 500)
	errs, err := s.Put(t.Context(), []share.WholeShare{g.Whole(0)}, share.Lease{Expires: time.Now().Add(time.Hour)})
	if err != nil || errs[0] != nil {
		t.Errorf("a batch that is forgotten: %v, %v", errs, err)
	}
	if got, err := s.Fetch(t.Context(), []share.StorageIndex{g.Index}); err != nil || len(got[0]) != 0 {
		t.Errorf("a forgotten batch is there: %v", err)
	}
}
