package invite

import (
	"slices"
	"testing"
	"time"
)

// TestLedgerIsBounded: what ended long ago is forgotten, and the oldest of very many; what can be used stays.
func TestLedgerIsBounded(t *testing.T) {
	h := newHome(t)
	open := h.issue(Terms{Expires: time.Now().Add(100 * 24 * time.Hour)})
	short := h.issue(Terms{})
	listed := func() (ids []string) {
		for _, i := range h.current().List() {
			ids = append(ids, i.ID)
		}
		return ids
	}
	h.passes(24 * time.Hour)
	if got, want := listed(), []string{short.ID(), open.ID()}; !slices.Equal(got, want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
	h.passes(31 * 24 * time.Hour)
	for range 2 { // in memory, and as it is read again
		if got, want := listed(), []string{open.ID()}; !slices.Equal(got, want) {
			t.Errorf("a month after its end: listed %v, want %v", got, want)
		}
		h.reopen()
	}
}

func TestLedgerOfManyEnded(t *testing.T) {
	now := time.Now()
	list := []*entry{{Uses: 1, Expires: now.Add(time.Hour)}}
	for n := range 200 {
		list = append(list, &entry{
			Uses: MaxUses, Expires: now.Add(time.Hour), Cancelled: now.Add(-time.Duration(n) * time.Minute), Used: make([]use, MaxUses),
		})
	}
	kept := prune(list, now)
	if want := 1 + maxClosed/(MaxUses+1); len(kept) != want || kept[0] != list[0] || kept[len(kept)-1] != list[want-1] {
		t.Errorf("%d kept, want the open one and the %d that ended last", len(kept), want-1)
	}
}
