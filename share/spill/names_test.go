package spill_test

import (
	"bytes"
	"slices"
	"testing"

	"cairn/internal/fault"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/spill"
	"cairn/share/storetest"
)

// away writes versions of names while the near store takes not even heads.
func away(t *testing.T, far spill.Part) []*storetest.Mutable {
	t.Helper()
	s := spill.New(memory.New(memory.Options{Offer: 1}), far, spill.Options{})
	var all []*storetest.Mutable
	for seed := range uint64(3) {
		m := storetest.NewMutable(seed)
		for range seed + 1 {
			write(t, s, m)
		}
		all = append(all, m)
	}
	return all
}

func write(t *testing.T, s share.HeadStore, m *storetest.Mutable) {
	t.Helper()
	page := storetest.NewFile(t, 100+m.Head.Sequence, 1, 2, 4<<10, 500)
	u := m.Next(page.Index, "alice")
	u.Shares, u.Retention = []share.WholeShare{page.Whole(0)}, share.Retention{Versions: 10}
	if err := s.SetHead(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	m.Advance(u)
}

// wantNames checks that the newest version of each name is shown, with its share and its history.
func wantNames(t *testing.T, s share.HeadStore, all []*storetest.Mutable) {
	t.Helper()
	for i, m := range all {
		held, err := s.Heads(t.Context(), []share.Name{m.Name}, true)
		if err != nil || !bytes.Equal(held[0].Record, m.Record) || len(held[0].Shares) != 1 {
			t.Errorf("name %d: %d shares, %v", i, len(held[0].Shares), err)
		}
		history, err := s.History(t.Context(), m.Name, 0)
		if err != nil || len(history) != int(m.Head.Sequence) {
			t.Errorf("name %d: %d versions, %v", i, len(history), err)
		}
	}
}

func wantNoNames(t *testing.T, far share.NameMover) {
	t.Helper()
	if left, err := far.Names(t.Context(), share.Name{}, 10); err != nil || len(left) > 0 {
		t.Errorf("%d names are left in the far store, %v", len(left), err)
	}
}

// TestNamesComeBack brings heads back with their history, once the near store takes them.
func TestNamesComeBack(t *testing.T) {
	near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
	all := away(t, far)
	s := spill.New(near, far, spill.Options{})
	wantNames(t, s, all)
	report, err := s.Drain(t.Context(), spill.DrainOptions{})
	if err != nil || report.Names != 3 || report.NamesLeft != 0 || report.Left != 0 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantNames(t, near, all)
	wantEmpty(t, far)
	wantNoNames(t, far)
	for _, m := range all {
		write(t, s, m)
	}
	wantNames(t, near, all)
	wantNoNames(t, far)
}

// TestNamesStayWithoutRoom leaves heads where they are as long as the near store has no room for them.
func TestNamesStayWithoutRoom(t *testing.T) {
	far := memory.New(memory.Options{})
	all := away(t, far)
	s := spill.New(memory.New(memory.Options{Offer: 1}), far, spill.Options{})
	report, err := s.Drain(t.Context(), spill.DrainOptions{})
	if err != nil || report.Names != 0 || report.NamesLeft != 3 || !report.Full {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantNames(t, s, all)
}

// TestNamesOvertaken drops heads in the far store that the near one has left behind.
func TestNamesOvertaken(t *testing.T) {
	near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
	all := away(t, far)
	s := spill.New(near, far, spill.Options{})
	updates, err := far.Updates(t.Context(), all[2].Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range updates {
		if err := near.SetHead(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	write(t, near, all[2])
	if report, err := s.Drain(t.Context(), spill.DrainOptions{}); err != nil || report.Names != 3 {
		t.Fatalf("drain: %+v, %v", report, err)
	}
	wantNames(t, near, all)
	wantNoNames(t, far)
}

// TestNamesFaults fails each operation of a pass once. After each failure every head is there, and the next pass ends what this one began.
func TestNamesFaults(t *testing.T) {
	for side, failing := range []string{"Near", "Far"} {
		t.Run(failing, func(t *testing.T) {
			fault.Loop(t, fault.Action{}, func(t *testing.T, in *fault.Injector) {
				near, far := memory.New(memory.Options{}), memory.New(memory.Options{})
				all := away(t, far)
				parts := []spill.Part{near, far}
				flaky := slices.Clone(parts)
				flaky[side] = fault.NewStore(parts[side], in).(spill.Part)
				_, err := spill.New(flaky[0], flaky[1], spill.Options{}).Drain(t.Context(), spill.DrainOptions{})
				t.Logf("drain with %v failing: %v", in.Fired(), err)
				s := spill.New(near, far, spill.Options{})
				wantNames(t, s, all)
				if report, err := s.Drain(t.Context(), spill.DrainOptions{}); err != nil || report.NamesLeft > 0 {
					t.Fatalf("the next pass: %+v, %v", report, err)
				}
				wantNames(t, near, all)
				wantNoNames(t, far)
			})
		})
	}
}
