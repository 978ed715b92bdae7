package fault_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"cairn/internal/fault"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// TestTransparent runs the conformance suite through a wrapper that never fails.
func TestTransparent(t *testing.T) {
	storetest.Test(t, func(t *testing.T) share.Store {
		return fault.NewStore(memory.New(memory.Options{}), fault.At(0, fault.Action{}))
	})
}

// TestLoop fails each operation of an upload to memory in turn: what was acknowledged is there, the rest is whole or absent.
func TestLoop(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 3, 4<<10, 30<<10)
	runs := 0
	fault.Loop(t, fault.Action{}, func(t *testing.T, in *fault.Injector) {
		runs++
		inner := memory.New(memory.Options{})
		store := fault.NewStore(inner, in)
		for n := range share.Number(3) {
			acknowledged := f.Put(t.Context(), store, n, "alice")
			if acknowledged != nil && !errors.Is(acknowledged, fault.ErrInjected) {
				t.Errorf("share %d: %v", n, acknowledged)
			}
			if err := f.Check(t.Context(), inner, n); err != nil && (acknowledged == nil || !errors.Is(err, share.ErrNotFound)) {
				t.Errorf("share %d, upload: %v, check: %v", n, acknowledged, err)
			}
			if err := f.Put(t.Context(), inner, n, "alice"); err != nil {
				t.Errorf("share %d, second try: %v", n, err)
			}
		}
	})
	if want := 1 + 3*int(2+f.Segments()); runs != want {
		t.Errorf("%d runs, want %d: create, append and commit of each share fail once, then nothing", runs, want)
	}
}

func TestActions(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000)
	open := func(t *testing.T, in *fault.Injector) share.Reader {
		t.Helper()
		inner := memory.New(memory.Options{})
		if err := f.Put(t.Context(), inner, 0, "alice"); err != nil {
			t.Fatal(err)
		}
		r, err := fault.NewStore(inner, in.Only(fault.OpRead)).Open(t.Context(), f.Index, 0)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	p, want := make([]byte, 100), f.Share(0)[:100]

	r := open(t, fault.At(1, fault.Action{Truncate: true}))
	if n, err := r.ReadAt(t.Context(), p, 0); n != 50 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated read: %d, %v", n, err)
	}
	r = open(t, fault.From(2, fault.Action{Corrupt: true}))
	for i, same := range []bool{true, false, false} {
		if n, err := r.ReadAt(t.Context(), p, 0); n != 100 || err != nil || (string(p) == string(want)) != same {
			t.Errorf("read %d: %d, %v, right: %t", i, n, err, string(p) == string(want))
		}
	}
	r = open(t, fault.At(1, fault.Action{Delay: time.Hour}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.ReadAt(ctx, p, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delayed read: %v", err)
	}
	called := false
	r = open(t, fault.At(1, fault.Action{Do: func() { called = true }}))
	if _, err := r.ReadAt(t.Context(), p, 0); err != nil || !called {
		t.Errorf("read with a hook: %v, called: %t", err, called)
	}
	r = open(t, fault.At(1, fault.Action{Err: share.ErrUnavailable}))
	if _, err := r.ReadAt(t.Context(), p, 0); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("failed read: %v", err)
	}
}

// TestCorruptBlock spoils a block on its way in: the store tells.
func TestCorruptBlock(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000)
	for name, action := range map[string]fault.Action{"corrupt": {Corrupt: true}, "truncate": {Truncate: true}} {
		store := fault.NewStore(memory.New(memory.Options{}), fault.At(2, action).Only(fault.OpAppend))
		if err := f.Put(t.Context(), store, 0, "alice"); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNumbersLie(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 4<<10, 5000)
	inner := memory.New(memory.Options{})
	if err := f.Put(t.Context(), inner, 0, "alice"); err != nil {
		t.Fatal(err)
	}
	store := fault.NewStore(inner, fault.At(1, fault.Action{Corrupt: true}))
	for i, same := range []bool{false, true} {
		held, err := store.Numbers(t.Context(), []share.StorageIndex{f.Index})
		if err != nil || (share.IndexOf(held[0].Root) == f.Index) != same {
			t.Errorf("answer %d: %v, %v", i, held, err)
		}
	}
}
