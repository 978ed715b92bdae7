package s3_test

import (
	"errors"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/s3"
	"cairn/share/storetest"
)

// TestRemovalOnAFullStore: a bucket of which all that is offered is used takes versions that are no larger than what they drop, up to a bound, and
// nothing else.
func TestRemovalOnAFullStore(t *testing.T) {
	const offer = 600_000
	store := open(t, newKit(t, func(c s3.Config) s3.Config { c.Offer = offer; return c }).config(t))
	lease := share.Lease{Owner: "bob", Expires: time.Now().Add(time.Hour)}
	file := func(i uint64, size int) *storetest.File { return storetest.NewFile(t, i, 1, 3, 1<<16, size) }
	m := storetest.NewMutable(1)
	next := func(m *storetest.Mutable, f *storetest.File) error {
		u := m.Next(f.Index, "alice")
		u.Shares, u.Retention = []share.WholeShare{f.Whole(0)}, share.Retention{Versions: 1000, Age: time.Hour}
		err := store.SetHead(t.Context(), u)
		if err == nil {
			m.Advance(u)
		}
		return err
	}
	if err := next(m, file(1, 12_000)); err != nil {
		t.Fatal(err)
	}
	var full error
	for i := uint64(100); full == nil; i++ {
		errs, err := store.Put(t.Context(), []share.WholeShare{file(i, 10_000).Whole(0)}, lease)
		full = errors.Join(append(errs, err)...)
	}
	if !errors.Is(full, share.ErrNoSpace) {
		t.Fatal(full)
	}
	if err := next(m, file(2, 30_000)); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("a larger version: %v", err)
	}
	if err := next(storetest.NewMutable(2), file(2, 30_000)); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("another name: %v", err)
	}
	taken := 0
	var err error
	for i := uint64(1000); err == nil && taken < 100; i++ {
		if err = next(m, file(i, 12_000)); err == nil {
			taken++
		}
	}
	if taken < 2 || !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("%d versions as large as those before were taken, then: %v", taken, err)
	}
	space, err := store.Space(t.Context())
	if err != nil || space.Used > offer+offer/16 || space.Free != 0 {
		t.Errorf("%+v, %v", space, err)
	}
}
