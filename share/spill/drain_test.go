package spill_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cairn/internal/fault"
	"cairn/share"
	"cairn/share/disk"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
)

// shut sends everything but heads far, as a near store above its mark does.
var shut = spill.Options{High: 1e-12}

// filled stores shares of small and large files of two owners, all of which go to the far store.
func filled(t *testing.T, near, far spill.Part) []*storetest.File {
	t.Helper()
	s := spill.New(near, far, shut)
	files := []*storetest.File{
		storetest.NewFile(t, 1, 1, 2, 4<<10, 100), storetest.NewFile(t, 2, 2, 3, 4<<10, 50_000), storetest.NewFile(t, 3, 1, 2, 4<<10, 0),
	}
	for _, f := range files {
		for n := range share.Number(2) {
			if err := f.Put(t.Context(), s, n, "alice"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Renew(t.Context(), []share.StorageIndex{f.Index}, share.Lease{Owner: "bob", Expires: time.Now().Add(99 * 24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// wantAll checks that every share is held, readable and leased by both owners until what they were promised.
func wantAll(t *testing.T, s *spill.Store, files []*storetest.File) {
	t.Helper()
	for _, f := range files {
		held, err := s.Numbers(t.Context(), []share.StorageIndex{f.Index})
		if err != nil || len(held[0].Numbers) != 2 {
			t.Fatalf("held: %v, %v", held, err)
		}
		for n := range share.Number(2) {
			if err := f.Check(t.Context(), s, n); err != nil {
				t.Errorf("share %d: %v", n, err)
			}
		}
		leases, err := s.Leases(t.Context(), f.Index)
		if err != nil || len(leases) != 2 || leases[0].Owner != "alice" || leases[1].Expires.Before(time.Now().Add(98*24*time.Hour)) {
			t.Errorf("leases: %v, %v", leases, err)
		}
	}
}

func wantEmpty(t *testing.T, far spill.Part) {
	t.Helper()
	if left, err := far.List(t.Context(), share.StorageIndex{}, 10); err != nil || len(left) != 0 {
		t.Errorf("%d files are left in the far store, %v", len(left), err)
	}
}

func TestDrain(t *testing.T) {
	near, far := openDisk(t, t.TempDir(), disk.Options{Offer: 1 << 30}), memory.New(memory.Options{})
	files := filled(t, near, far)
	if space, err := near.Space(t.Context()); err != nil || space.Used != 0 {
		t.Fatalf("the near store is used: %+v, %v", space, err)
	}
	s := spill.New(near, far, spill.Options{})
	before, err := s.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), files[1].Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	report, err := s.Drain(t.Context(), spill.DrainOptions{Rate: 100 << 20})
	if err != nil || report.Shares != 6 || report.Left != 0 || report.Full || len(report.Damaged) > 0 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantEmpty(t, far)
	wantAll(t, s, files)
	after, err := s.Usage(t.Context())
	if err != nil || after["alice"] != before["alice"] || after["bob"] != before["bob"] {
		t.Errorf("usage %v, %v; before: %v", after, err, before)
	}
	if _, err := r.ReadAt(t.Context(), make([]byte, 100), 0); err != nil {
		t.Errorf("a reader that was open while the share came back: %v", err)
	}
}

// TestDrainOnlyWhereThereIsRoom leaves what does not fit below the low mark.
func TestDrainOnlyWhereThereIsRoom(t *testing.T) {
	near, far := memory.New(memory.Options{Offer: 40_000}), memory.New(memory.Options{})
	files := filled(t, memory.New(memory.Options{}), far)
	s := spill.New(near, far, spill.Options{High: 0.9, Low: 0.7})
	report, err := s.Drain(t.Context(), spill.DrainOptions{})
	if err != nil || !report.Full || report.Left == 0 || report.Shares+report.Left != 6 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantAll(t, s, files)
	if space, err := near.Space(t.Context()); err != nil || space.Used > 28_000 {
		t.Errorf("the near store is above its low mark: %+v, %v", space, err)
	}
}

// TestDrainFaults fails each operation of a pass on either side once. After each failure everything is there, and the next pass
// ends what this one began.
func TestDrainFaults(t *testing.T) {
	for name, action := range map[string]fault.Action{"Error": {}, "Corrupt": {Corrupt: true}} {
		for side, failing := range []string{"Near", "Far"} {
			t.Run(name+failing, func(t *testing.T) {
				fault.Loop(t, action, func(t *testing.T, in *fault.Injector) {
					parts := [2]spill.Part{memory.New(memory.Options{}), memory.New(memory.Options{})}
					files := filled(t, parts[0], parts[1])
					flaky := parts
					flaky[side] = fault.NewStore(parts[side], in).(spill.Part)
					_, err := spill.New(flaky[0], flaky[1], spill.Options{}).Drain(t.Context(), spill.DrainOptions{})
					t.Logf("drain with %v failing: %v", in.Fired(), err)
					s := spill.New(parts[0], parts[1], spill.Options{})
					wantAll(t, s, files)
					if report, err := s.Drain(t.Context(), spill.DrainOptions{}); err != nil || report.Left > 0 {
						t.Fatalf("the next pass: %+v, %v", report, err)
					}
					wantAll(t, s, files)
					wantEmpty(t, parts[1])
				})
			})
		}
	}
}

// TestDrainStopped ends a pass at each operation, as a process does that is killed, and has a new process go on. On a disk it
// looks at some operations only, because each is a store opened twice.
func TestDrainStopped(t *testing.T) {
	for name, kind := range map[string]struct {
		disk bool
		step int64
	}{"Memory": {false, 1}, "Disk": {true, 9}} {
		for side, failing := range []string{"Near", "Far"} {
			t.Run(name+failing, func(t *testing.T) {
				t.Parallel()
				for n := int64(1); stopDrain(t, kind.disk, side, n); n += kind.step {
				}
			})
		}
	}
}

// stopDrain ends a pass at the n-th operation of the near or the far store, and reports whether there was one.
func stopDrain(t *testing.T, onDisk bool, side int, n int64) bool {
	t.Helper()
	dir := t.TempDir()
	parts := [2]spill.Part{memory.New(memory.Options{}), memory.New(memory.Options{})}
	if onDisk {
		parts[0] = openDisk(t, dir, disk.Options{})
	}
	near, far := parts[0], parts[1]
	files := filled(t, near, far)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := fault.From(n, fault.Action{Do: cancel})
	parts[side] = fault.NewStore(parts[side], in).(spill.Part)
	_, err := spill.New(parts[0], parts[1], spill.Options{}).Drain(ctx, spill.DrainOptions{})
	if stopped := len(in.Fired()) > 0; stopped != errors.Is(err, context.Canceled) && n < in.Count() {
		t.Errorf("stopped at operation %d: %v", n, err)
	}
	if onDisk {
		if err := near.(*disk.Store).Close(); err != nil {
			t.Fatal(err)
		}
		near = openDisk(t, dir, disk.Options{})
	}
	s := spill.New(near, far, spill.Options{})
	wantAll(t, s, files)
	if report, err := s.Drain(t.Context(), spill.DrainOptions{}); err != nil || report.Left > 0 {
		t.Fatalf("the pass after operation %d: %+v, %v", n, report, err)
	}
	wantAll(t, s, files)
	wantEmpty(t, far)
	return len(in.Fired()) > 0
}

// TestDrainLeavesDamage does not bring back what does not verify, and does not drop it.
func TestDrainLeavesDamage(t *testing.T) {
	near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
	files := filled(t, near, far)
	rotten := fault.NewStore(far, fault.From(1, fault.Action{Corrupt: true}).Only(fault.OpRead)).(spill.Part)
	report, err := spill.New(near, rotten, spill.Options{}).Drain(t.Context(), spill.DrainOptions{})
	if err != nil || report.Shares != 0 || report.Left != 6 || len(report.Damaged) == 0 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantAll(t, spill.New(near, far, spill.Options{}), files)
}

// TestDrainDropsDamage has shares in the far store be damaged: the pass names them, the far store lets go of them, and all others come back.
func TestDrainDropsDamage(t *testing.T) {
	for _, damage := range []storetest.Damage{storetest.Flip, storetest.Cut, storetest.Gone} {
		t.Run(string(damage), func(t *testing.T) {
			near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
			files := filled(t, near, far)
			if !files[1].DamageIn(far, 1, damage) {
				t.Fatal("the share is not there")
			}
			s := spill.New(near, far, spill.Options{Logger: log(t)})
			report, err := s.Drain(t.Context(), spill.DrainOptions{})
			if err != nil || report.Shares != 5 || report.Left != 0 || len(report.Damaged) != 1 {
				t.Fatalf("drain: %+v, %v", report, err)
			}
			if d := report.Damaged[0]; !d.Dropped || d.Index != files[1].Index || d.Number != 1 || !errors.Is(d.Err, share.ErrCorrupt) {
				t.Errorf("damaged: %+v", d)
			}
			wantEmpty(t, far)
			if again, err := s.Drain(t.Context(), spill.DrainOptions{}); err != nil || again.Shares != 0 || len(again.Damaged) != 0 {
				t.Errorf("the next pass: %+v, %v", again, err)
			}
			if err := files[1].Put(t.Context(), s, 1, "alice"); err != nil {
				t.Errorf("store it anew: %v", err)
			}
			wantAll(t, s, files)
		})
	}
}
