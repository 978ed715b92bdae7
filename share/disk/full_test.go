package disk

import (
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/storetest"
)

// TestRemovalOnAFullStore: a store that is full takes versions that are no larger than what they drop, up to a bound, and nothing else.
func TestRemovalOnAFullStore(t *testing.T) {
	const offer = 600_000
	store := mustOpen(t, t.TempDir(), Options{Offer: offer})
	n := newName(1)
	file := func(i uint64, size int) *storetest.File { return storetest.NewFile(t, i, 1, 3, 1<<16, size) }
	before := file(1, 12_000)
	keep := share.Retention{Versions: 1000, Age: time.Hour}
	if err := store.SetHead(t.Context(), n.update(1, before, nil, keep)); err != nil {
		t.Fatal(err)
	}
	var full error
	for i := uint64(100); full == nil; i++ {
		var errs []error
		var err error
		f := file(i, 10_000)
		errs, err = store.Put(t.Context(), []share.WholeShare{f.Whole(0)}, monthLease("bob"))
		full = errors.Join(append(errs, err)...)
	}
	if !errors.Is(full, share.ErrNoSpace) {
		t.Fatal(full)
	}
	larger := file(2, 30_000)
	if err := store.SetHead(t.Context(), n.update(2, larger, before, keep)); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("a larger version: %v", err)
	}
	if err := store.SetHead(t.Context(), newName(2).update(1, larger, nil, keep)); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("another name: %v", err)
	}
	taken := 0
	var err error
	for sequence := uint64(2); err == nil && taken < 100; sequence++ {
		f := file(1000+sequence, 12_000)
		if err = store.SetHead(t.Context(), n.update(sequence, f, before, keep)); err == nil {
			before = f
			taken++
		}
	}
	if taken < 2 || !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("%d versions as large as those before were taken, then: %v", taken, err)
	}
	space, err := store.Space(t.Context())
	if err != nil || space.Used > offer+offer/removalsPart || space.Free != 0 {
		t.Errorf("%+v, %v", space, err)
	}
}
