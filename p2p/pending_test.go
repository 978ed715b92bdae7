package p2p_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"cairn/p2p"
)

// TestPending: a host that starts again says which of the members it remembers it is still about to meet, until they have
// answered or turned out to be away.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		first := n.add()
		for range 3 {
			n.add(first.Addresses()...)
		}
		within(t, 20*time.Second, "all met", n.met)
		one, hung, gone := n.nodes[0], n.nodes[2], n.nodes[3]
		within(t, 10*time.Second, "nobody is pending", func() bool { return pending(one) == 0 })

		n.stop(one)
		n.stop(gone)
		hung.stopped.Store(true)
		n.start(one)
		list, _ := one.Pending()
		if len(list) != 3 || slices.ContainsFunc(list, func(p p2p.Pending) bool { return p.Parted }) {
			t.Errorf("%+v are pending at the start, want 3 that were not there yet", list)
		}
		took := settle(t, one)
		if took > p2p.DefaultDialTimeout+time.Second {
			t.Errorf("it took %v until it was clear who answers", took)
		}
		if count := responsive(one.Host); count != 1 {
			t.Errorf("%d members answer by then, want 1", count)
		}
		time.Sleep(3 * time.Minute)
		if count := pending(one); count != 0 {
			t.Errorf("%d members are pending again, because they are tried again", count)
		}
	})
}

// TestPendingAgain: a member that starts again is pending, and comes back before it is not any more.
func TestPendingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		one := n.add()
		other := n.add(one.Addresses()...)
		for range 5 {
			within(t, 20*time.Second, "both met", n.met)
			n.stop(other)
			n.start(other)
			within(t, time.Second, "it is pending", func() bool { return pending(one) == 1 || responsive(one.Host) == 1 })
			if list, _ := one.Pending(); len(list) == 1 && !list[0].Parted {
				t.Errorf("%+v was never there", list[0])
			}
			settle(t, one)
			if count := responsive(one.Host); count != 1 {
				t.Fatalf("%d members answer when none is pending, want 1", count)
			}
			time.Sleep(20 * time.Second)
		}
	})
}

// TestRumoursAreNotPending: nobody can make a host wait by telling of members that do not exist.
func TestRumoursAreNotPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		one, ghost := n.add(), n.add()
		addresses := ghost.Addresses()
		n.stop(ghost)
		time.Sleep(10 * time.Second)
		one.Learn(addresses...)
		if count := pending(one); count != 0 {
			t.Errorf("%d members are pending, want none", count)
		}
	})
}

func pending(v *virtualNode) int {
	list, _ := v.Pending()
	return len(list)
}

// settle waits until no member is pending, and returns how long that took.
func settle(t *testing.T, v *virtualNode) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		list, changed := v.Pending()
		if len(list) == 0 {
			return time.Since(begin)
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatalf("still pending after a minute: %+v", list)
		}
	}
}
