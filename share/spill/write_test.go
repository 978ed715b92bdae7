package spill_test

import (
	"testing"
	"time"

	"cairn/internal/fault"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
)

// TestWriteFaults stores shares in every way while one operation of one of the stores fails. What was acknowledged is there
// afterwards, whole and leased.
func TestWriteFaults(t *testing.T) {
	for _, with := range []struct {
		name  string
		offer int64
		o     spill.Options
	}{{"Room", 0, spill.Options{}}, {"AboveTheMark", 0, shut}, {"FullInTheMiddle", 20_000, spill.Options{High: 1}}} {
		for side, failing := range []string{"Near", "Far"} {
			t.Run(with.name+failing, func(t *testing.T) {
				t.Parallel()
				for n := int64(1); writeWithFault(t, with.offer, with.o, side, n); n++ {
				}
			})
		}
	}
}

// writeWithFault fails the n-th operation, and reports whether there was one.
func writeWithFault(t *testing.T, offer int64, o spill.Options, side int, n int64) bool {
	t.Helper()
	parts := [2]spill.Part{memory.New(memory.Options{Offer: offer}), memory.New(memory.Options{})}
	whole := spill.New(parts[0], parts[1], o)
	in := fault.At(n, fault.Action{})
	parts[side] = fault.NewStore(parts[side], in).(spill.Part)
	s := spill.New(parts[0], parts[1], o)
	lease := share.Lease{Owner: "alice", Expires: time.Now().Add(time.Hour)}
	check := func(what string, err error, f *storetest.File, numbers ...share.Number) {
		t.Helper()
		if err != nil {
			return // nothing was promised
		}
		for _, number := range numbers {
			if err := f.Check(t.Context(), whole, number); err != nil {
				t.Errorf("operation %d %v: %s was acknowledged: %v", n, in.Fired(), what, err)
			}
		}
		if leases, err := whole.Leases(t.Context(), f.Index); err != nil || len(leases) == 0 {
			t.Errorf("operation %d %v: %s has no lease: %v", n, in.Fired(), what, err)
		}
	}
	large, small := storetest.NewFile(t, 1, 1, 2, 4<<10, 15_000), storetest.NewFile(t, 2, 1, 2, 4<<10, 3000)
	for _, number := range []share.Number{0, 1, 0} {
		check("a streamed share", large.Put(t.Context(), s, number, "alice"), large, number)
	}
	errs, err := s.Put(t.Context(), []share.WholeShare{small.Whole(0), small.Whole(1)}, lease)
	for i := range errs {
		check("a small share", errs[i], small, share.Number(i))
	}
	if err != nil {
		t.Logf("operation %d %v: put: %v", n, in.Fired(), err)
	}
	m := storetest.NewMutable(1)
	for i := range 3 {
		page := storetest.NewFile(t, uint64(10+i), 1, 2, 4<<10, 1000)
		u := m.Next(page.Index, "alice")
		u.Shares, u.Retention = []share.WholeShare{page.Whole(0)}, share.Retention{Versions: 3}
		if err := s.SetHead(t.Context(), u); err != nil {
			continue
		}
		m.Advance(u)
		check("a page of a version", nil, page, 0)
		held, err := whole.Heads(t.Context(), []share.Name{m.Name}, true)
		if err != nil || string(held[0].Record) != string(u.Record) || len(held[0].Shares) != 1 {
			t.Errorf("operation %d %v: version %d was acknowledged: %v, %v", n, in.Fired(), i+1, held, err)
		}
	}
	return len(in.Fired()) > 0
}
