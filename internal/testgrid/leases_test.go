package testgrid_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/internal/testgrid"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/disk"
)

// lease is how long leases run in these tests; the stores' clock is what the test says.
const lease = 100 * time.Hour

// leased is a grid of ten disks, of which four get a share of each file and all keep heads.
type leased struct {
	*testgrid.Grid
	t      *testing.T
	stores []*disk.Store
	// owed is how much longer than lease leases run: time that has passed by the stores' clock.
	owed atomic.Int64
}

func newLeased(t *testing.T) *leased {
	t.Helper()
	g := &leased{t: t}
	root := t.TempDir()
	g.Grid = testgrid.New(t, testgrid.Config{
		Params: share.Params{Needed: 2, Happy: 3, Total: 4},
		Lease:  func() time.Duration { return lease + time.Duration(g.owed.Load()) },
		Store: func(i int) share.Store {
			store, err := disk.Open(filepath.Join(root, fmt.Sprint(i)), disk.Options{Grace: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			g.stores = append(g.stores, store)
			return store
		},
	})
	return g
}

// pass lets time go by: what nobody wants any more goes.
func (g *leased) pass(d time.Duration) {
	g.t.Helper()
	now := time.Now().Add(time.Duration(g.owed.Add(int64(d))))
	for range 2 { // a name goes after the shares of its file
		for i, store := range g.stores {
			if _, err := store.Collect(g.t.Context(), now); err != nil {
				g.t.Fatalf("collect on %d: %v", i, err)
			}
		}
	}
}

// holders returns how many stores hold a head of a name.
func (g *leased) holders(c capability.Capability) int {
	g.t.Helper()
	name, _ := c.Name()
	n := 0
	for _, store := range g.stores {
		held, err := store.Heads(g.t.Context(), []share.Name{name}, false)
		if err != nil {
			g.t.Fatal(err)
		}
		if held[0].Record != nil {
			n++
		}
	}
	return n
}

func all(share.StorageIndex) bool { return true }

func (g *leased) maintain(n *testgrid.Node, root capability.Capability) {
	g.t.Helper()
	_, done, problems, err := n.Grid.RenewTree(g.t.Context(), root, "", grid.RenewOptions{
		Due: all, DuePast: all, Renewed: func([]share.StorageIndex) error { return nil },
	})
	if err != nil || len(problems) > 0 || done.Missing > 0 {
		g.t.Fatalf("maintain: %+v, %+v, %v", done, problems, err)
	}
}

// directory makes a directory of so many entries that it has pages, in a root directory.
func (g *leased) directory(n *testgrid.Node, root capability.Capability) capability.Capability {
	g.t.Helper()
	literal, err := capability.Literal([]byte("what is in it"))
	must(g.t, err)
	c, err := n.Grid.Dirs().Create(g.t.Context(), func(yield func(dir.Entry, error) bool) {
		for i := range 2000 {
			if !yield(dir.Entry{Name: fmt.Sprintf("entry %05d", i), Capability: literal}, nil) {
				return
			}
		}
	})
	must(g.t, err)
	_, err = n.Grid.Dirs().Update(g.t.Context(), root, func(e *dir.Editor) error { return e.Set(dir.Entry{Name: "directory", Capability: c}) })
	must(g.t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// count returns how many entries of a directory can be listed by a node that has not seen it before.
func count(ctx context.Context, n *testgrid.Node, c capability.Capability) (int, error) {
	x, err := n.Grid.Dirs().Open(ctx, c)
	if err != nil {
		return 0, err
	}
	entries := 0
	for _, err := range x.All(ctx) {
		if err != nil {
			return entries, err
		}
		entries++
	}
	return entries, nil
}

// TestUntouchedDirectories has directories that nobody changes outlive their leases because of maintenance, on all their servers,
// with their pages; and one vanish without it.
func TestUntouchedDirectories(t *testing.T) {
	g := newLeased(t)
	mine, other := g.Nodes[0], g.Nodes[1]
	root, err := mine.Grid.Dirs().Create(t.Context(), nil)
	must(t, err)
	kept, left := g.directory(mine, root), g.directory(other, root)
	_, err = mine.Grid.Dirs().Update(t.Context(), root, func(e *dir.Editor) error {
		return errors.Join(e.Set(dir.Entry{Name: "mine", Capability: kept}), e.Remove("directory"))
	})
	must(t, err)
	shared := g.directory(other, root) // somebody else has written it, and does not come back
	for range 4 {
		g.pass(lease / 2)
		g.maintain(mine, root)
	}
	g.pass(lease / 2)
	for what, c := range map[string]capability.Capability{"the root": root, "a directory": kept, "another's directory": shared} {
		if n := g.holders(c); n != len(g.stores) {
			t.Errorf("%s: %d of %d servers know it", what, n, len(g.stores))
		}
	}
	for _, c := range []capability.Capability{kept, shared} {
		if n, err := count(t.Context(), g.Nodes[2], c); err != nil || n != 2000 {
			t.Errorf("%d entries, %v", n, err)
		}
	}
	if n := g.holders(left); n != 0 {
		t.Errorf("%d servers know what nobody renewed", n)
	}
	if _, err := count(t.Context(), g.Nodes[2], left); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("what nobody renewed: %v", err)
	}
}
