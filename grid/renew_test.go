package grid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
	"cairn/share/memory"
)

const (
	day = 24 * time.Hour
	// leaseTime is how long leases run where a test says so.
	leaseTime = 30 * day
)

// A keptTree is a root directory with a file and a directory that change, kept for 100 days, and what a node remembers of its renewals.
type keptTree struct {
	t       *testing.T
	m       *members
	g       *grid.Grid
	root    capability.Capability
	file    keys.WriteKey
	in      capability.Capability
	renewed map[share.StorageIndex]time.Time
	last    grid.Renewal
}

func newKeptTree(t *testing.T) *keptTree {
	k := &keptTree{t: t, m: newMembers(5), file: keys.NewWriteKey(), renewed: map[share.StorageIndex]time.Time{}}
	k.g = grid.New(grid.Config{
		Servers: func(context.Context) []share.Server { return k.m.servers }, Owner: "me", Terms: func() grid.Terms {
			return grid.Terms{Lease: leaseTime, Retention: share.Retention{Versions: 3, Age: 100 * day}}
		},
	})
	var err error
	k.in, err = k.g.Dirs().Create(t.Context(), manyEntries(t, 900))
	must(t, err)
	_, err = k.g.Files().Write(t.Context(), k.file, nil, strings.NewReader(text(1)), mutable.WriteOptions{})
	must(t, err)
	k.root, err = k.g.Dirs().Create(t.Context(), dir.Entries(
		dir.Entry{Name: "directory", Capability: k.in}, dir.Entry{Name: "file", Capability: capability.Mutable(k.file)},
	))
	must(t, err)
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(version int) string { return strings.Repeat(fmt.Sprintf("version %d ", version), 5000) }

func manyEntries(t *testing.T, n int) func(func(dir.Entry, error) bool) {
	literal, err := capability.Literal([]byte("what is in it"))
	must(t, err)
	return func(yield func(dir.Entry, error) bool) {
		for i := range n {
			if !yield(dir.Entry{Name: fmt.Sprintf("entry %05d", i), Capability: literal}, nil) {
				return
			}
		}
	}
}

// change writes a version of the file, and removes 100 entries of the directory.
func (k *keptTree) change(version int) {
	k.t.Helper()
	base, err := k.g.Files().Read(k.t.Context(), capability.Mutable(k.file))
	must(k.t, err)
	_, err = k.g.Files().Write(k.t.Context(), k.file, base, strings.NewReader(text(version)), mutable.WriteOptions{})
	must(k.t, err)
	_, err = k.g.Dirs().Update(k.t.Context(), k.in, func(e *dir.Editor) error {
		for i := range 100 {
			if err := e.Remove(fmt.Sprintf("entry %05d", (version-2)*100+i)); err != nil {
				return err
			}
		}
		return nil
	})
	must(k.t, err)
}

// pass lets days go by: every week leases are renewed as a node does it, and every day servers remove what has none.
func (k *keptTree) pass(days int) {
	k.t.Helper()
	for i := range days {
		time.Sleep(day)
		if i%7 == 0 {
			_, done, problems, err := k.g.RenewTree(k.t.Context(), k.root, "", grid.RenewOptions{
				Due: func(index share.StorageIndex) bool { return k.renewed[index].Before(time.Now().Add(-leaseTime / 2)) },
				DuePast: func(index share.StorageIndex) bool {
					return k.renewed[index].Before(time.Now().Add(-leaseTime/2 + 8*day))
				},
				Renewed: func(indexes []share.StorageIndex) error {
					for _, index := range indexes {
						k.renewed[index] = time.Now()
					}
					return nil
				},
			})
			if err != nil || len(problems) > 0 || done.Missing > 0 {
				k.t.Fatalf("renewed %+v, %v, %v", done, problems, err)
			}
			if done != (grid.Renewal{}) {
				k.last = done
			}
		}
		for _, s := range k.m.servers {
			s.Store.(*memory.Store).Collect(time.Now())
		}
	}
}

// readable checks that a past version of the file and of the directory is all there, or that neither is.
func (k *keptTree) readable(version int, want bool) {
	k.t.Helper()
	versions, err := k.g.Files().History(k.t.Context(), capability.Mutable(k.file))
	must(k.t, err)
	got := ""
	for _, v := range versions {
		if v.Head.Sequence == uint64(version) {
			got = k.read(&v)
		}
	}
	if (got == text(version)) != want {
		k.t.Errorf("version %d of the file is read as %d bytes; want it: %v", version, len(got), want)
	}
	entries := 0
	x, err := k.g.Dirs().At(k.t.Context(), k.in, uint64(version))
	if err == nil {
		for _, err = range x.All(k.t.Context()) {
			if err != nil {
				break
			}
			entries++
		}
	}
	if all := err == nil && entries == 900-(version-1)*100; all != want {
		k.t.Errorf("version %d of the directory has %d entries, %v; want it: %v", version, entries, err, want)
	}
}

func (k *keptTree) read(v *mutable.Version) string {
	r, err := v.Open(k.t.Context())
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	var out strings.Builder
	if _, err := r.WriteTo(k.t.Context(), &out, 0, r.Size()); err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return out.String()
}

// TestPastVersionsAreRenewed: what the retention promises is there until it ends, though leases are much shorter; then it goes.
func TestPastVersionsAreRenewed(t *testing.T) { synctest.Test(t, testPastVersionsAreRenewed) }

func testPastVersionsAreRenewed(t *testing.T) {
	k := newKeptTree(t)
	defer k.g.Close()
	for version := 2; version <= 6; version++ {
		k.pass(5)
		k.change(version)
	}
	k.pass(70)
	for version := 1; version <= 6; version++ {
		k.readable(version, true)
	}
	if k.last.Versions != 10 || k.last.VersionsMissing != 0 {
		t.Errorf("the last renewal was %+v, want 5 past versions of each", k.last)
	}
	k.pass(100)
	for version := 1; version <= 6; version++ {
		k.readable(version, version >= 4) // the newest 3 are kept in any case
	}
	if k.last.Versions != 4 || k.last.VersionsMissing != 0 {
		t.Errorf("the last renewal was %+v, want 2 past versions of each", k.last)
	}
}
