package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"
)

// contactsIn draws a grid: members at random positions.
func contactsIn(t *rapid.T, least, most int) []contact {
	positions := rapid.SliceOfNDistinct(rapid.Uint64(), least, most, rapid.ID).Draw(t, "members")
	list := make([]contact, len(positions))
	for i, at := range positions {
		list[i] = contact{id: peer.ID(fmt.Sprint(i)), at: at}
	}
	return list
}

func drawPlaces(t *rapid.T, label string) []place {
	small := rapid.Custom(func(t *rapid.T) place {
		return place{at: rapid.Uint64().Draw(t, "at") % 8, key: fileKey(rapid.Uint64Range(0, 2).Draw(t, "key"))}
	})
	wide := rapid.Custom(func(t *rapid.T) place { return place{at: rapid.Uint64().Draw(t, "at")} })
	return rapid.SliceOf(rapid.OneOf(small, wide)).Draw(t, label)
}

// TestRegionIsKnown checks what makes sending whole regions right: a lookup in a grid of any shape knows everybody in the
// region, so that the records of every file in it go to the members that are closest of all, as far as these are there.
func TestRegionIsKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grid := contactsIn(t, contactsFound, 200)
		at := rapid.Uint64().Draw(t, "around")
		found := closest(grid, at, contactsFound)
		where := knownAround(at, found)
		if at < where.first || at > where.last {
			t.Fatalf("the region %x around %x is elsewhere", where, at)
		}
		inside := 0
		for _, c := range grid {
			if c.at < where.first || c.at > where.last {
				continue
			}
			if inside++; !slices.Contains(found, c) {
				t.Fatalf("member %x in the region %x around %x was not found", c.at, where, at)
			}
		}
		file := place{at: where.first + rapid.Uint64().Draw(t, "file")%(where.last-where.first|1)}
		keepers := assign([]place{file}, found)
		if len(keepers) != Replication {
			t.Fatalf("%d members keep a record, want %d", len(keepers), Replication)
		}
		for _, c := range closest(grid, file.at, min(Replication, inside)) {
			if keepers[c.id] == nil {
				t.Fatalf("one of the %d closest is not told", min(Replication, inside))
			}
		}
	})
}

func TestPlacesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPlaces(t, "a"), drawPlaces(t, "b")
		all := sorted(slices.Concat(a, b))
		merged := sorted(a).merge(sorted(b))
		if !slices.Equal(all, merged) {
			t.Fatalf("merged %v, want %v", merged, all)
		}
		r := region{rapid.Uint64().Draw(t, "first") % 10, rapid.Uint64().Draw(t, "last")}
		if r.last < r.first {
			return
		}
		var want places
		for _, p := range all {
			if p.at >= r.first && p.at <= r.last {
				want = append(want, p)
			}
		}
		if got := merged.in(r); !slices.Equal(got, want) {
			t.Fatalf("in %v: %v, want %v", r, got, want)
		}
		for _, p := range a {
			if !merged.has(p) {
				t.Fatalf("%v is not in %v", p, merged)
			}
		}
		if got := merged.after(r.last); len(got) != len(merged)-len(merged.in(region{0, r.last})) {
			t.Fatalf("%d places after %x of %v", len(got), r.last, merged)
		}
	})
}

func TestRegionEdges(t *testing.T) {
	list := places{{at: 0}, {at: 1}, {at: lastPosition - 1}, {at: lastPosition}}
	for _, test := range []struct {
		at     uint64
		prefix int
		want   int
	}{{0, 0, 4}, {7, -1, 4}, {0, 1, 2}, {lastPosition, 1, 2}, {0, 63, 2}, {0, 64, 1}, {0, 65, 1}, {lastPosition, 64, 1}, {1 << 62, 2, 0}} {
		if got := len(list.in(regionAround(test.at, test.prefix))); got != test.want {
			t.Errorf("%d places within %d bits of %x, want %d", got, test.prefix, test.at, test.want)
		}
	}
	if left := list.after(lastPosition); len(left) != 0 {
		t.Errorf("%v behind the end", left)
	}
}

// TestSweepCoversEverythingOnce follows a sweep with ticks at any times.
func TestSweepCoversEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Unix(1700000000, 0)
		pass := sweeper{begin: begin, every: time.Hour}
		now, next, passes := begin, uint64(0), 0
		for passes < 3 {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(20*time.Minute)).Draw(t, "pause")))
			for due, ok := pass.due(now); ok; due, ok = pass.due(now) {
				if due.first != next || due.last < due.first {
					t.Fatalf("due %x, done before %x", due, next)
				}
				last := max(due.last, rapid.Uint64().Draw(t, "region")%(1<<50)+due.last/2)
				pass.done(last)
				if next = last + 1; last == lastPosition {
					passes++
				}
			}
		}
		if took := now.Sub(begin); took < 2*time.Hour || took > 4*time.Hour {
			t.Fatalf("three passes took %v", took)
		}
	})
}

func TestSweepIsEven(t *testing.T) {
	pass := sweeper{begin: time.Unix(0, 0), every: 22 * time.Hour}
	for hour := 1; hour < 22; hour++ {
		due, ok := pass.due(time.Unix(0, 0).Add(time.Duration(hour) * time.Hour))
		share := float64(due.last-due.first) / (1 << 63) / 2
		if !ok || cmp.Compare(share, 0.045) < 0 || share > 0.046 {
			t.Errorf("hour %d: %v of the key space, want 1/22", hour, share)
		}
		pass.done(due.last)
	}
}

func TestSweepAfterSleep(t *testing.T) {
	pass := sweeper{begin: time.Unix(0, 0), every: time.Hour}
	late := time.Unix(0, 0).Add(100*time.Hour + time.Minute)
	due, ok := pass.due(late)
	if !ok || due != (region{0, lastPosition}) {
		t.Fatalf("after a long sleep %x is due, want everything once", due)
	}
	pass.done(due.last)
	if due, ok = pass.due(late); !ok || due.first != 0 || due.last > lastPosition/50 {
		t.Errorf("then %x, %v; want the first minute of the next pass", due, ok)
	}
}
