package mutable_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// ofEight is a code for eight servers of which three may be lost.
var ofEight = mutable.WriteOptions{Params: share.Params{Needed: 3, Happy: 5, Total: 8}}

func filesOf(t *testing.T, g *grid, memory mutable.Memory) *mutable.Files {
	t.Helper()
	return mutable.New(mutable.Env{
		Servers: g.servers, Owner: "alice", Memory: memory,
		Params: func(context.Context) share.Params { return ofEight.Params },
	})
}

// within is the grid as it is to who reaches only some of its servers.
func (g *grid) within(first, end int) *grid {
	part := &grid{down: map[int]bool{}, stores: slices.Clone(g.stores)}
	for i := range part.stores {
		if i < first || i >= end {
			part.stores[i] = newStore(g.stores[i].name)
			part.stores[i].on(dead)
		}
	}
	return part
}

// leave has somebody who reaches only these servers acknowledge a version, or leave one behind where they are too few.
func leave(t *testing.T, g *grid, first, end int, key keys.WriteKey, base *mutable.Version, text string) *mutable.Version {
	t.Helper()
	part := g.within(first, end)
	v, err := filesOf(t, part, nil).Write(t.Context(), key, base, strings.NewReader(text), ofEight)
	if (err == nil) != (end-first >= ofEight.Params.Happy) {
		t.Fatalf("%q on %d servers: %v", text, end-first, err)
	}
	return v
}

// TestServerThatLeftCounts: a version was acknowledged by five of eight servers, of which one has left since and another one has
// forgotten it. A writer who does not know of it reaches all the others, and is told.
func TestServerThatLeftCounts(t *testing.T) { synctest.Test(t, testServerThatLeftCounts) }

func testServerThatLeftCounts(t *testing.T) {
	g := newGrid(8)
	key := keys.NewWriteKey()
	m := filesOf(t, g, nil)
	base, err := m.Write(t.Context(), key, nil, strings.NewReader("base"), ofEight)
	if err != nil {
		t.Fatal(err)
	}
	g.stores[4].keeps = func() bool { return false }
	theirs := leave(t, g, 0, 5, key, base, "acknowledged")
	g.stores[4].keeps = nil
	g.mu.Lock()
	g.stores = slices.Delete(g.stores, 3, 4)
	g.mu.Unlock()
	_, err = m.Write(t.Context(), key, base, strings.NewReader("other"), ofEight)
	var collision *mutable.CollisionError
	if !errors.As(err, &collision) || collision.Theirs.Digest != theirs.Head.Digest {
		t.Errorf("a version that was acknowledged is replaced: %v", err)
	}
	v, got := read(t, m, capability.Mutable(key))
	if got != "acknowledged" && !slices.ContainsFunc(v.Forks, func(h head.Head) bool { return h.Digest == theirs.Head.Digest }) {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
}

// TestNoHistoryIsNoLeave: where no server says which version follows which, a version that may have been acknowledged is not replaced
// as if it had been left behind.
func TestNoHistoryIsNoLeave(t *testing.T) { synctest.Test(t, testNoHistoryIsNoLeave) }

func testNoHistoryIsNoLeave(t *testing.T) {
	g := newGrid(8)
	key := keys.NewWriteKey()
	base, err := filesOf(t, g, nil).Write(t.Context(), key, nil, strings.NewReader("base"), ofEight)
	if err != nil {
		t.Fatal(err)
	}
	theirs := leave(t, g, 0, 5, key, base, "acknowledged")
	memory := mutable.NewMemory()
	if err := memory.Remember(theirs.Head); err != nil { // so the next version is to be a newer one
		t.Fatal(err)
	}
	for _, s := range g.stores {
		s.on(func(ctx context.Context, op string) error {
			if op == "history" {
				return share.ErrUnavailable
			}
			return ctx.Err()
		})
	}
	_, err = filesOf(t, g, memory).Write(t.Context(), key, base, strings.NewReader("other"), ofEight)
	if !errors.Is(err, share.ErrConflict) {
		t.Errorf("a version that was acknowledged is replaced: %v", err)
	}
	g.heal()
	v, got := read(t, filesOf(t, g, nil), capability.Mutable(key))
	if got != "acknowledged" && !slices.ContainsFunc(v.Forks, func(h head.Head) bool { return h.Digest == theirs.Head.Digest }) {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
}

// TestBuriedVersionIsNotPassedOver: every server that acknowledged a version has since got what a dead writer left behind, one this
// and one that. None of that can be read, and for a moment the acknowledged version cannot either: the one before is not the newest.
func TestBuriedVersionIsNotPassedOver(t *testing.T) {
	synctest.Test(t, testBuriedVersionIsNotPassedOver)
}

func testBuriedVersionIsNotPassedOver(t *testing.T) {
	g := newGrid(8)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	base, err := filesOf(t, g, nil).Write(t.Context(), key, nil, strings.NewReader("base"), ofEight)
	if err != nil {
		t.Fatal(err)
	}
	v := leave(t, g, 0, 5, key, base, "acknowledged")
	for _, first := range []int{0, 2, 4} {
		leave(t, g, first, min(first+2, 5), key, v, "left behind")
	}
	for _, s := range g.stores[:5] {
		s.on(func(ctx context.Context, op string) error {
			if op == "fetch" || op == "open" || op == "numbers" {
				return share.ErrUnavailable
			}
			return ctx.Err()
		})
	}
	var few *share.NotEnoughSharesError
	if v, err := filesOf(t, g, nil).Read(t.Context(), c); !errors.As(err, &few) {
		t.Fatalf("read version %d while version 2 is out of reach: %v", v.Head.Sequence, err)
	}
	g.heal()
	if _, got := read(t, filesOf(t, g, nil), c); got != "acknowledged" {
		t.Errorf("read %q", got)
	}
}

// TestRefusedIsNotTheNewest: a writer was refused who had left a version on a few servers, with a higher number than the one that was
// acknowledged. Readers are given that one, and the next version follows both.
func TestRefusedIsNotTheNewest(t *testing.T) { synctest.Test(t, testRefusedIsNotTheNewest) }

func testRefusedIsNotTheNewest(t *testing.T) {
	g := newGrid(8)
	key := keys.NewWriteKey()
	c := capability.Mutable(key)
	base, err := filesOf(t, g, nil).Write(t.Context(), key, nil, strings.NewReader("base"), ofEight)
	must(t, err)
	won := leave(t, g, 3, 8, key, base, "acknowledged").Head
	memory := mutable.NewMemory()
	must(t, memory.Remember(won)) // so the next version has a higher number
	if _, err := filesOf(t, g.within(0, 3), memory).Write(t.Context(), key, base, strings.NewReader("refused"), ofEight); err == nil {
		t.Fatal("three servers were enough")
	}

	m := filesOf(t, g, nil)
	v, got := read(t, m, c)
	if got != "acknowledged" || len(v.Forks) != 1 || v.Forks[0].Sequence != won.Sequence+1 {
		t.Fatalf("read %q, forks %v", got, v.Forks)
	}
	if texts := history(t, m, c); !slices.Equal(texts, []string{"acknowledged", "refused", "base"}) {
		t.Errorf("history: %q", texts)
	}
	if over, err := m.Overrule(t.Context(), key, won); err != nil || over.Head.Digest != won.Digest {
		t.Errorf("without its contents: %v", err)
	}
	given := mutable.NewMemory() // who was given the other one before is not told that servers went back
	must(t, given.Remember(v.Forks[0]))
	if v, got := read(t, filesOf(t, g, given), c); got != "refused" || len(v.Forks) != 1 || v.Forks[0].Digest != won.Digest {
		t.Errorf("read %q, forks %v", got, v.Forks)
	}
	again, err := m.RestoreHead(t.Context(), key, won) // it follows the newest one
	if err != nil || again.Head.Sequence != won.Sequence+2 || len(again.Head.Parents) != 2 {
		t.Errorf("the next version is number %d and follows %d: %v", again.Head.Sequence, len(again.Head.Parents), err)
	}
	if texts := history(t, m, c); !slices.Equal(texts, []string{"acknowledged", "refused", "acknowledged", "base"}) {
		t.Errorf("history: %q", texts)
	}
}
