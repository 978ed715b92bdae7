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
