package spill_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
)

// TestSides runs the suite over each of the stores as a place of its own.
func TestSides(t *testing.T) {
	for name, side := range map[string]func(*spill.Store) *spill.Side{
		"Near": (*spill.Store).NearSide, "Far": (*spill.Store).FarSide, "Copy": (*spill.Store).CopySide,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Suite{Open: func(t *testing.T) share.Store {
				opened := side(spill.New(memory.New(memory.Options{}), memory.New(memory.Options{}), spill.Options{High: 1, Logger: log(t)}))
				if name == "Copy" { // unfinished copies count for nobody
					return uncounted{opened, opened, opened, opened, opened, opened}
				}
				return opened
			}}.Run(t)
		})
	}
}

type uncounted struct {
	share.Store
	share.Resumer
	share.Spacer
	share.Batcher
	share.HeadStore
	share.Mover
}

func wantNumbers(t *testing.T, of share.Store, f *storetest.File, want ...share.Number) {
	t.Helper()
	held, err := of.Numbers(t.Context(), []share.StorageIndex{f.Index})
	if err != nil || !slices.Equal(held[0].Numbers, want) {
		t.Errorf("held: %v, %v; want %v", held, err, want)
	}
}

// TestSideTakesItsOwn puts a share where it is told to, and nowhere else.
func TestSideTakesItsOwn(t *testing.T) {
	s := spill.New(memory.New(memory.Options{Offer: 60_000}), memory.New(memory.Options{}), spill.Options{High: 0.5})
	f, large := storetest.NewFile(t, 1, 1, 4, 4<<10, 10_000), storetest.NewFile(t, 2, 1, 4, 4<<10, 40_000)
	for n, side := range []*spill.Side{s.NearSide(), s.FarSide()} {
		if err := f.Put(t.Context(), side, share.Number(n), "alice"); err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, side, f, share.Number(n))
		if err := f.Check(t.Context(), side, share.Number(n)); err != nil {
			t.Error(err)
		}
	}
	wantNumbers(t, s, f, 0, 1)
	if err := large.Put(t.Context(), s.NearSide(), 0, "alice"); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("above the mark: %v", err)
	}
	verdicts, err := s.NearSide().Put(t.Context(), []share.WholeShare{f.Whole(2), large.Whole(1)}, share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)})
	if err != nil || verdicts[0] != nil || !errors.Is(verdicts[1], share.ErrNoSpace) {
		t.Errorf("small shares up to the mark: %v, %v", verdicts, err)
	}
	wantNumbers(t, s, large)
	if space, err := s.NearSide().Space(t.Context()); err != nil || space.Free >= 30_000 || space.Offered != 60_000 {
		t.Errorf("the near side offers %+v, %v", space, err)
	}
}

// TestCopiesStay keeps copies in the far store whatever the near one has, until the owner lets go of the file.
func TestCopiesStay(t *testing.T) {
	near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
	s := spill.New(near, far, spill.Options{})
	kept, spilled := storetest.NewFile(t, 1, 1, 4, 4<<10, 10_000), storetest.NewFile(t, 2, 1, 4, 4<<10, 10_000)
	small := storetest.NewFile(t, 3, 1, 4, 4<<10, 100)
	lease := share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}
	if err := kept.Put(t.Context(), s.CopySide(), 0, "alice"); err != nil {
		t.Fatal(err)
	}
	if verdicts, err := s.CopySide().Put(t.Context(), []share.WholeShare{small.Whole(1)}, lease); err != nil || verdicts[0] != nil {
		t.Fatal(verdicts, err)
	}
	if err := spilled.Put(t.Context(), s.FarSide(), 0, "alice"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*storetest.File{kept, small} { // the same shares, near
		for n := range share.Number(2) {
			if err := f.Put(t.Context(), s.NearSide(), n, "alice"); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = spill.New(near, far, spill.Options{}) // what it knows is in the stores
	report, err := s.Drain(t.Context(), spill.DrainOptions{})
	if err != nil || report.Shares != 1 || report.Kept != 2 || report.Left != 0 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantNumbers(t, s.FarSide(), kept, 0)
	wantNumbers(t, s.FarSide(), small, 1)
	wantNumbers(t, s.FarSide(), spilled)
	if err := kept.Check(t.Context(), s.FarSide(), 0); err != nil {
		t.Error(err)
	}
	if usage, err := s.Usage(t.Context()); err != nil || len(usage) != 1 {
		t.Errorf("usage: %v, %v", usage, err)
	}
	long := share.Lease{Owner: "alice", Expires: time.Now().Add(99 * 24 * time.Hour)}
	if err := s.FarSide().Renew(t.Context(), []share.StorageIndex{kept.Index, small.Index}, long); err != nil {
		t.Fatal(err)
	}
	far.Collect(time.Now().Add(98 * 24 * time.Hour))
	wantNumbers(t, s.FarSide(), kept, 0)
	if stays, err := s.Kept(t.Context(), kept.Index); err != nil || !stays {
		t.Errorf("renewed, but kept: %v, %v", stays, err)
	}
	if leases, err := s.Leases(t.Context(), kept.Index); err != nil || len(leases) != 1 || leases[0].Owner != "alice" {
		t.Errorf("leases: %v, %v", leases, err)
	}
	if err := s.Release(t.Context(), "alice", []share.StorageIndex{kept.Index}); err != nil {
		t.Fatal(err)
	}
	far.Collect(time.Now().Add(2 * time.Hour))
	wantNumbers(t, s.FarSide(), kept)
	wantNumbers(t, s.FarSide(), small, 1)
}

// TestDrainPasses leaves what it is told to leave.
func TestDrainPasses(t *testing.T) {
	near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
	files := filled(t, near, far)
	s := spill.New(near, far, spill.Options{})
	report, err := s.Drain(t.Context(), spill.DrainOptions{Pass: func(leases []share.Lease) bool { return len(leases) == 2 }})
	if err != nil || report.Shares != 0 || report.Left != 6 || report.Passed != 6 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantAll(t, s, files)
}
