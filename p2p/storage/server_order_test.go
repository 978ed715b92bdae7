package storage

import (
	"errors"
	"testing"

	"cairn/p2p/wire"
	"cairn/share"
)

// TestOrder: what was sent earlier does not come after what was sent later, of the same upload, peer and series.
func TestOrder(t *testing.T) {
	o := newOrder(100)
	a, b := wire.Series{1}, wire.Series{2}
	for i, c := range []struct {
		peer   share.ServerID
		number share.Number
		series wire.Series
		turn   int64
		late   bool
	}{
		{"p", 0, a, 5, false},
		{"p", 0, a, 4, true},
		{"p", 0, a, 5, false},
		{"p", 0, a, 6, false},
		{"p", 0, a, 5, true},
		{"p", 1, a, 1, false}, // another upload
		{"q", 0, a, 1, false}, // another peer
		{"p", 0, b, 1, false}, // the client started anew
		{"p", 0, b, 0, true},
	} {
		leave, err := o.enter(c.peer, wire.Create{Number: c.number, Series: c.series, Turn: c.turn})
		if late := errors.Is(err, share.ErrBusy); late != c.late || (err == nil) == c.late {
			t.Fatalf("create %d: %v", i, err)
		}
		if err == nil {
			leave()
		}
	}
}

// TestOrderIsBounded forgets the uploads that were begun first, and none whose create is under way.
func TestOrderIsBounded(t *testing.T) {
	o := newOrder(2)
	enter := func(n share.Number, turn int64) (leave func(), err error) {
		return o.enter("p", wire.Create{Number: n, Turn: turn})
	}
	underWay, err := enter(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for n := range share.Number(50) {
		leave, err := enter(1+n, 2)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if len(o.byKey) != o.recent.Len() || len(o.byKey) > 2 {
			t.Fatalf("%d and %d uploads are remembered", len(o.byKey), o.recent.Len())
		}
	}
	underWay()
	if _, err := enter(0, 1); !errors.Is(err, share.ErrBusy) {
		t.Errorf("a late create of an upload that was under way: %v", err)
	}
	if _, err := enter(50, 1); !errors.Is(err, share.ErrBusy) {
		t.Errorf("a late create of the upload that was begun last: %v", err)
	}
	if leave, err := enter(1, 1); err != nil {
		t.Errorf("the upload that was begun first: %v", err)
	} else {
		leave()
	}
}
