package dir_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share/capability"
)

// TestWriters: five writers change one directory at once, and every change that was acknowledged is there.
func TestWriters(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("start", 1))
	hammer(t, c, 5, 40, func(int) *dir.Dirs { return m.Dirs().WithPages(1000) })
}

// TestWritersOfOneNode: the changes of one process wait for each other instead of colliding.
func TestWritersOfOneNode(t *testing.T) {
	m := dirtest.New()
	d := m.Dirs()
	c := create(t, d, entry("start", 1))
	var writes atomic.Int64
	m.BeforeWrite = func(dir.Write) { writes.Add(1) }
	hammer(t, c, 5, 20, func(int) *dir.Dirs { return d })
	if n := writes.Load(); n != 5*20 {
		t.Errorf("%d writes for %d changes", n, 5*20)
	}
}

// hammer has writers add names of their own, replace a shared one, and remove every third of their own again.
func hammer(t *testing.T, c capability.Capability, writers, changes int, dirs func(int) *dir.Dirs) {
	t.Helper()
	var all sync.WaitGroup
	for w := range writers {
		d := dirs(w)
		all.Go(func() {
			for i := range changes {
				_, err := d.Update(t.Context(), c, func(e *dir.Editor) error {
					if i%3 == 2 {
						if err := e.Remove(own(w, i-1)); err != nil {
							return err
						}
					}
					count, err := e.Get("start")
					if err != nil {
						return err
					}
					return firstOf(e.Set(entry(own(w, i), i)), e.Set(entry("start", int(count.Size)+1)))
				})
				if err != nil {
					t.Errorf("writer %d, change %d: %v", w, i, err)
					return
				}
			}
		})
	}
	all.Wait()
	x := open(t, dirs(0), c)
	for w := range writers {
		for i := range changes {
			_, err := x.Lookup(t.Context(), own(w, i))
			if removed := i%3 == 1 && i+1 < changes; removed != (err != nil) {
				t.Errorf("change %d of writer %d, removed %v: %v", i, w, removed, err)
			}
		}
	}
	if e := lookup(t, x, "start"); e.Size != int64(writers*changes)+1 {
		t.Errorf("the shared count is %d, want %d", e.Size, writers*changes+1)
	}
}

func own(writer, change int) string { return fmt.Sprintf("writer %d change %03d", writer, change) }

// unsure gives every version as one that its writer may not have finished.
type unsure struct{ *dirtest.Memory }

func (u unsure) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	content, err := u.Memory.Read(ctx, c)
	content.Unsure = true
	return content, err
}

// TestUnsureVersion: who finds its change in a version that may not stay writes it once more before it says so.
func TestUnsureVersion(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("a", 1))
	d := dir.New(dir.Config{Files: unsure{m}, Pages: m})
	if x := update(t, d, c, set("a", 1)); x.Version().Sequence != 2 || x.Len() != 1 {
		t.Errorf("version %d with %d entries", x.Version().Sequence, x.Len())
	}
}
