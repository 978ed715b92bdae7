package spill_test

import (
	"errors"
	"testing"

	"cairn/share"
	"cairn/share/memory"
	"cairn/share/spill"
)

// TestLate has a far store that comes after the start: what is near is served all the time, what is far is not said to be gone.
func TestLate(t *testing.T) {
	near, far, late := memory.New(memory.Options{}), memory.New(memory.Options{}), &spill.Late{}
	files := filled(t, near, far)
	s := spill.New(near, late, spill.Options{})
	if err := files[0].Put(t.Context(), s, 0, "alice"); err != nil {
		t.Fatalf("put: %v", err)
	}
	if err := files[0].Check(t.Context(), s, 0); err != nil {
		t.Errorf("near: %v", err)
	}
	if _, err := s.Open(t.Context(), files[1].Index, 0); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("open what is far: %v", err)
	}
	if _, err := s.Numbers(t.Context(), []share.StorageIndex{files[1].Index}); !errors.Is(err, share.ErrUnavailable) {
		t.Errorf("numbers of what is far: %v", err)
	}
	if _, err := s.Usage(t.Context()); err != nil {
		t.Errorf("usage: %v", err)
	}
	if err := files[1].Put(t.Context(), spill.New(near, late, shut), 1, "alice"); err != nil {
		t.Errorf("put above the mark: %v", err)
	}
	late.Set(far)
	wantAll(t, s, files)
}

// TestShut: a store that is shut takes nothing, not even the end of an upload that began before, and takes again when it is opened.
func TestShut(t *testing.T) {
	near, far, late := memory.New(memory.Options{}), memory.New(memory.Options{}), &spill.Late{}
	late.Set(far)
	files := filled(t, memory.New(memory.Options{}), memory.New(memory.Options{}))
	s := spill.New(near, late, spill.Options{High: 0.000001})
	late.Shut(true)
	if err := files[0].Put(t.Context(), late, 0, "alice"); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("put into a store that is shut: %v", err)
	}
	if err := files[0].Put(t.Context(), s, 0, "alice"); err != nil {
		t.Errorf("put beside a store that is shut: %v", err)
	}
	if left, err := far.List(t.Context(), share.StorageIndex{}, 10); err != nil || len(left) > 0 {
		t.Errorf("a store that is shut took %v, %v", left, err)
	}
	late.Shut(false)
	if err := files[1].Put(t.Context(), late, 0, "alice"); err != nil {
		t.Errorf("put into a store that was opened again: %v", err)
	}
}
