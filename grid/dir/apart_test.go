package dir_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/grid/dir"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/capability"
)

// outOfReach gives a version that is not the newest only after it was asked for so often.
type outOfReach struct {
	*dirtest.Memory
	asks atomic.Int64
}

func (o *outOfReach) ReadVersion(ctx context.Context, c capability.Capability, v dir.Version) (dir.Content, error) {
	newest, err := o.Read(ctx, c)
	if err != nil {
		return dir.Content{}, err
	}
	isFork := slices.ContainsFunc(newest.Forks, func(f dir.Version) bool { return f.Digest == v.Digest })
	if isFork && o.asks.Add(-1) >= 0 {
		return dir.Content{}, &share.NotEnoughSharesError{Index: v.Root, Needed: 3, Found: 2}
	}
	return o.Memory.ReadVersion(ctx, c, v)
}

// TestForkOutOfReach: readers see the newest version meanwhile, and a change waits until it can be brought together with the fork.
func TestForkOutOfReach(t *testing.T) {
	synctest.Test(t, forkOutOfReach)
}

func forkOutOfReach(t *testing.T) {
	m := dirtest.New()
	c := create(t, m.Dirs(), entry("1", 1))
	a, b := cut(t, m, c), cut(t, m, c)
	update(t, a, c, set("a", 7))
	update(t, b, c, set("b", 8))
	files := &outOfReach{Memory: m}
	d := dir.New(dir.Config{Files: files, Pages: m})
	files.asks.Store(1)
	if got := listed(t, open(t, d, c)); got != "1=1 a=7" && got != "1=1 b=8" {
		t.Errorf("with a fork out of reach: %s", got)
	}
	files.asks.Store(3)
	if got := listed(t, update(t, d, c, set("c", 9))); got != "1=1 a=7 b=8 c=9" {
		t.Errorf("changed while a fork was out of reach for a moment: %s", got)
	}
	if files.asks.Load() >= 0 {
		t.Error("the change did not wait")
	}

	a, b = cut(t, m, c), cut(t, m, c)
	update(t, a, c, set("d", 1))
	update(t, b, c, set("e", 1))
	files.asks.Store(1 << 40)
	ctx, cancel := context.WithTimeout(t.Context(), dir.MaxApart/20)
	defer cancel()
	if _, err := d.Update(ctx, c, set("f", 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("changed without what is out of reach: %v", err)
	}
}
