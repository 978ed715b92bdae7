package storage

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
)

// TestComplaintBudget spends what peers and all of them have, and waits for it to come back.
func TestComplaintBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newComplaintBudget()
		// complain complains until it is refused, and returns how often it was not.
		complain := func(peer share.ServerID, bytes int64) (n int) {
			for x.check(peer) == nil {
				x.spend(peer, bytes)
				n++
			}
			if err := x.check(peer); !errors.Is(err, share.ErrBusy) {
				t.Errorf("refused with %v", err)
			}
			return n
		}
		want := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %d complaints, want %d", what, got, want)
			}
		}
		want("one peer", complain("mallory", 1<<20), 64)
		for i := range 4 * 3600 {
			time.Sleep(250 * time.Millisecond)
			if i%1000 == 999 && x.check("mallory") == nil {
				x.spend("mallory", 0) // what was remembered costs nothing
			}
		}
		want("an hour later, asked often meanwhile", complain("mallory", 1<<20), 64)
		time.Sleep(15 * time.Minute)
		want("a quarter of an hour later", complain("mallory", 1<<20), 16)
		time.Sleep(100 * time.Hour)
		want("much later", complain("mallory", 1), 256)
		all := 0
		for i := range 1000 {
			all += complain(share.ServerID(fmt.Sprint("mallory ", i)), 1<<20)
		}
		want("a thousand peers", all, 192)
		if len(x.peers) > 1000 {
			t.Errorf("%d peers remembered", len(x.peers))
		}
		time.Sleep(2 * time.Hour)
		want("one that reads a lot at once", complain("mallory", 1<<30), 1)
		time.Sleep(15 * time.Hour)
		want("15 hours later", complain("mallory", 1<<20), 0)
		time.Sleep(3 * time.Hour)
		want("18 hours later", complain("mallory", 1<<20), 64)
		x.spend("bob", 1)
		if len(x.peers) != 2 {
			t.Errorf("%d peers remembered, want those that have not all of their budget", len(x.peers))
		}
	})
}

// TestComplaintsLeaveSomething has members complain of good shares as often as they may: one that did not is heard all the same, and all together cost
// no more than they may.
func TestComplaintsLeaveSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, members := range []int{5, 15} {
			x := newComplaintBudget()
			spent := 0
			for turn := range 1000 {
				peer := share.ServerID(fmt.Sprint("mallory ", turn%members))
				for x.check(peer) == nil {
					x.spend(peer, complaintLeast)
					spent++
				}
			}
			if err := x.check("alice"); err != nil {
				t.Errorf("%d members complain: %v", members, err)
			}
			for x.check("alice") == nil {
				x.spend("alice", complaintLeast)
				spent++
			}
			if most := complaintsAll / complaintLeast; spent > most {
				t.Errorf("%d complaints of good shares were looked into, want %d at most", spent, most)
			}
			time.Sleep(time.Minute)
			if x.check("mallory 0") == nil {
				t.Error("who used up its part is heard again a minute later")
			}
			if err := x.check("bob"); err != nil {
				t.Errorf("a minute later: %v", err)
			}
		}
	})
}
