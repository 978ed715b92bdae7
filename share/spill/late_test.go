package spill_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
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

// An awayStore is a store that can tell that it is away, and says so until it is back.
type awayStore struct {
	*memory.Store
	away  error
	asked int
}

func (s *awayStore) Ask(context.Context) error {
	s.asked++
	return s.away
}

// TestLateAsks: a store that can tell whether it is there is asked before it is given something new, and given nothing when it is not.
func TestLateAsks(t *testing.T) {
	away := &share.QuotaError{}
	far, late := &awayStore{Store: memory.New(memory.Options{}), away: away}, &spill.Late{}
	var told []error
	late.OnWrite = func(err error) { told = append(told, err) }
	late.Set(far)
	files := filled(t, memory.New(memory.Options{}), memory.New(memory.Options{}))
	lease := share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}
	name := storetest.NewMutable(1)
	update := name.Next(files[0].Index, "alice")
	for what, try := range map[string]func() error{
		"upload": func() error { return files[0].Put(t.Context(), late, 0, "alice") },
		"batch": func() error {
			_, err := late.Put(t.Context(), []share.WholeShare{files[1].Whole(1)}, lease)
			return err
		},
		"head": func() error { return late.SetHead(t.Context(), update) },
	} {
		far.away, far.asked, told = away, 0, nil
		if err := try(); !errors.Is(err, away) || far.asked != 1 || len(told) != 1 || !errors.Is(told[0], away) {
			t.Errorf("%s: %v, asked %d times, told %v", what, err, far.asked, told)
		}
		if left, err := far.List(t.Context(), share.StorageIndex{}, 10); err != nil || len(left) > 0 {
			t.Errorf("%s: a store that is away took %v, %v", what, left, err)
		}
	}
	far.away = nil
	if err := files[0].Put(t.Context(), late, 0, "alice"); err != nil {
		t.Errorf("back: %v", err)
	}
}
