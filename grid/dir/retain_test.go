package dir_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/share"
)

// TestRetainDirectory: what is kept of a directory is changed in a version that has the same entries, and stays with later ones.
func TestRetainDirectory(t *testing.T) { synctest.Test(t, testRetainDirectory) }

func testRetainDirectory(t *testing.T) {
	s := newServers(5)
	c := create(t, s.dirs(t), entry("a", 1))
	want := share.Retention{Versions: 100, Age: 90 * 24 * time.Hour}
	for range 2 { // the second time it says so already
		x := update(t, s.dirs(t), c, func(e *dir.Editor) error {
			e.Retain(want)
			return nil
		})
		if x.Retention() != want || x.Version().Sequence != 2 || x.Len() != 1 {
			t.Errorf("version %d with %d entries keeps %+v", x.Version().Sequence, x.Len(), x.Retention())
		}
	}
	update(t, s.dirs(t), c, func(e *dir.Editor) error { return e.Set(entry("b", 2)) })
	x := open(t, s.dirs(t), readOnly(t, c))
	if x.Retention() != want || x.Len() != 2 {
		t.Errorf("a directory of %d entries keeps %+v", x.Len(), x.Retention())
	}
	versions, err := s.dirs(t).Versions(t.Context(), c)
	check(t, err)
	x, err = s.dirs(t).Restore(t.Context(), c, versions[len(versions)-1])
	check(t, err)
	if x.Retention() != want || x.Len() != 1 {
		t.Errorf("what was restored has %d entries and keeps %+v", x.Len(), x.Retention())
	}
}

// TestChangesOfTheHeadCollide: what changes nothing but what is kept, or that it has ended, is written all the same after a collision.
func TestChangesOfTheHeadCollide(t *testing.T) {
	s := newServers(5)
	early := s.dirs(t)
	c := create(t, early, entry("a", 1))
	want := share.Retention{Versions: 100, Age: 90 * 24 * time.Hour}
	for i, change := range []func(*dir.Editor){func(e *dir.Editor) { e.Retain(want) }, (*dir.Editor).End} {
		update(t, s.dirs(t), c, func(e *dir.Editor) error { return e.Set(entry("b", i+2)) })
		x := update(t, early, c, func(e *dir.Editor) error {
			change(e)
			return nil
		})
		if x.Retention() != want || x.Version().Ended != (i > 0) || x.Version().Sequence != uint64(2*i+3) {
			t.Errorf("version %d keeps %+v, ended: %v", x.Version().Sequence, x.Retention(), x.Version().Ended)
		}
	}
}

// TestEndDirectory: a directory that has ended is read and not changed.
func TestEndDirectory(t *testing.T) {
	s := newServers(5)
	c := create(t, s.dirs(t), entry("a", 1))
	early := s.dirs(t) // knows the version before the last
	open(t, early, c)
	x := update(t, s.dirs(t), c, func(e *dir.Editor) error {
		e.End()
		return nil
	})
	if !x.Version().Ended || x.Len() != 1 {
		t.Errorf("the last version has %d entries, ended: %v", x.Len(), x.Version().Ended)
	}
	if x := open(t, s.dirs(t), readOnly(t, c)); !x.Version().Ended || x.Len() != 1 {
		t.Errorf("read: %d entries, ended: %v", x.Len(), x.Version().Ended)
	}
	for _, d := range []*dir.Dirs{early, s.dirs(t)} {
		_, err := d.Update(t.Context(), c, func(e *dir.Editor) error { return e.Set(entry("b", 2)) })
		if !errors.Is(err, mutable.ErrEnded) || !errors.Is(err, share.ErrDenied) {
			t.Errorf("a change after the end: %v", err)
		}
	}
}
