package mutable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// TestRenewHeads renews the head of a file that one server has never heard of, one has an older version of, and one does not answer for.
func TestRenewHeads(t *testing.T) { synctest.Test(t, testRenewHeads) }

func testRenewHeads(t *testing.T) {
	g := newGrid(8)
	m := newFiles(t, g)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	g.setDown(1)
	v := write(t, m, key, nil, "one")
	g.setDown(1, 2)
	write(t, m, key, v, "two")
	g.setDown()
	newest, _ := read(t, m, c)
	name, _ := c.Name()
	g.stores[3].on(dead)
	for _, s := range g.stores {
		s.mu.Lock()
		s.updates = nil
		s.mu.Unlock()
	}
	unknown := head.Head{Name: share.Name{1}, Sequence: 1}
	renewed, err := m.Renew(t.Context(), []head.Head{newest.Head, unknown})
	if err != nil || !slices.Equal(renewed, []bool{true, false}) {
		t.Fatalf("renewed %v, %v", renewed, err)
	}
	for i, s := range g.stores {
		s.mu.Lock()
		updates := slices.Clone(s.updates)
		s.mu.Unlock()
		if want := i != 2 && i != 3; want != (len(updates) == 1) {
			t.Errorf("server %d got %d heads", i, len(updates))
		}
		for _, u := range updates {
			if u.Name != name || len(u.Shares) > 0 || time.Until(u.Lease.Expires) < share.DefaultLease-time.Minute || u.Lease.Owner != "alice" {
				t.Errorf("server %d got %+v", i, u)
			}
		}
	}
	held, err := g.stores[1].Store.Heads(t.Context(), []share.Name{name}, false)
	if err != nil || held[0].Record == nil {
		t.Errorf("the server that had no head: %v, %v", held, err)
	}
}

// TestRenewTellsNobodyOfWhatFewHold leaves a version that may not stay where it is.
func TestRenewTellsNobodyOfWhatFewHold(t *testing.T) {
	synctest.Test(t, testRenewTellsNobodyOfWhatFewHold)
}

func testRenewTellsNobodyOfWhatFewHold(t *testing.T) {
	g := newGrid(9)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	write(t, newFiles(t, g.part(0, 4)), key, nil, "one")
	m := newFiles(t, g)
	v, _ := read(t, m, c)
	if renewed, err := m.Renew(t.Context(), []head.Head{v.Head}); err != nil || !renewed[0] {
		t.Fatalf("renewed %v, %v", renewed, err)
	}
	name, _ := c.Name()
	held, err := g.stores[5].Store.Heads(t.Context(), []share.Name{name}, false)
	if err != nil || held[0].Record != nil {
		t.Errorf("a server got a head that few held: %v", err)
	}
}

// TestBrokenConnections: where every server counts, connections that break before or after a server has done what it was asked do not
// make a write fail.
func TestBrokenConnections(t *testing.T) { synctest.Test(t, testBrokenConnections) }

func testBrokenConnections(t *testing.T) {
	g := newGrid(3)
	m := newFiles(t, g)
	key := keys.NewWriteKey()
	v := write(t, m, key, nil, "one")
	for i, s := range g.stores[:2] {
		var broken atomic.Bool
		once := func(op string) error {
			if op == "sethead" && broken.CompareAndSwap(false, true) {
				return fmt.Errorf("%w: connection closed", share.ErrUnavailable)
			}
			return nil
		}
		if i == 0 {
			s.on(func(_ context.Context, op string) error { return once(op) })
		} else {
			s.mu.Lock()
			s.after = func(op string, _ []share.HeldHead, err error) error { return errors.Join(err, once(op)) }
			s.mu.Unlock()
		}
	}
	write(t, m, key, v, "two")
	name, _ := capability.Mutable(key).Name()
	for i, s := range g.stores {
		held, err := s.Store.Heads(t.Context(), []share.Name{name}, true)
		if err != nil || len(held[0].Shares) != 1 {
			t.Errorf("server %d has %d shares of the second version, %v", i, len(held[0].Shares), err)
		}
	}
}
