package dir_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/memory"
)

// servers are stores in memory, each behind a switch.
type servers struct {
	stores []*memory.Store
	down   sync.Map // by number
}

func newServers(n int) *servers {
	s := &servers{}
	for range n {
		s.stores = append(s.stores, memory.New(memory.Options{}))
	}
	return s
}

func (s *servers) all(context.Context) []share.Server {
	var out []share.Server
	for i, store := range s.stores {
		_, down := s.down.Load(i)
		out = append(out, share.Server{ID: share.ServerID(fmt.Sprintf("server%02d", i)), Store: store, Free: 1 << 40, Down: down})
	}
	return out
}

// dirs returns the directories of one node.
func (s *servers) dirs(t *testing.T) *dir.Dirs {
	env := mutable.Env{Servers: s.all, Owner: "alice", Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
	store := dir.NewStore(env, mutable.New(env))
	return dir.New(dir.Config{Files: store, Pages: store, Logger: env.Logger})
}

// holders returns how many of the servers from one to before another hold a share of a directory's root page.
func (s *servers) holders(t *testing.T, x *dir.Directory, from, to int) int {
	t.Helper()
	n := 0
	for _, store := range s.stores[from:to] {
		held, err := store.Numbers(t.Context(), []share.StorageIndex{x.Version().Root})
		check(t, err)
		n += len(held[0].Numbers)
	}
	return n
}

// TestOnServers: directories over servers, small and large, mutable and immutable.
func TestOnServers(t *testing.T) {
	s := newServers(10)
	for _, size := range []int{0, 1, 150, 900} {
		c, err := s.dirs(t).Create(t.Context(), usual(0, size))
		check(t, err)
		x := open(t, s.dirs(t), readOnly(t, c))
		if x.Len() != int64(size) || len(names(t, x)) != size {
			t.Errorf("%d entries, want %d", x.Len(), size)
		}
		x = update(t, s.dirs(t), c, func(e *dir.Editor) error { return e.Set(entry("new", 7)) })
		if e := lookup(t, open(t, s.dirs(t), c), "new"); e.Size != 7 || x.Len() != int64(size)+1 {
			t.Errorf("after a change: %d entries, %v", x.Len(), e)
		}
		was, err := s.dirs(t).At(t.Context(), c, 1)
		check(t, err)
		if was.Len() != int64(size) || len(names(t, was)) != size {
			t.Errorf("the first version has %d entries, want %d", was.Len(), size)
		}
		i, err := s.dirs(t).CreateImmutable(t.Context(), usual(0, size))
		check(t, err)
		if x := open(t, s.dirs(t), i); len(names(t, x)) != size {
			t.Errorf("%d entries, want %d", x.Len(), size)
		}
	}
}

// TestWritersOnServers: five nodes change one directory at once, and every change that was acknowledged is there.
func TestWritersOnServers(t *testing.T) {
	s := newServers(5)
	c := create(t, s.dirs(t), entry("start", 1))
	hammer(t, c, 5, 6, func(int) *dir.Dirs { return s.dirs(t).WithPages(1000) })
}

// TestServerLostMeanwhile: the same while one server after the other goes away and comes back.
func TestServerLostMeanwhile(t *testing.T) {
	s := newServers(7)
	c := create(t, s.dirs(t), entry("start", 1))
	var changes atomic.Int64
	hammer(t, c, 3, 6, func(w int) *dir.Dirs {
		n := int(changes.Add(1))
		s.down.Delete((n + 6) % 7)
		s.down.Store(n%7, true)
		return s.dirs(t).WithPages(1000)
	})
}

// TestNoServers: where nothing can be stored the error is not that something is missing.
func TestNoServers(t *testing.T) {
	s := newServers(0)
	if _, err := s.dirs(t).Create(t.Context(), nil); err == nil || errors.Is(err, share.ErrNotFound) {
		t.Errorf("a directory on no servers: %v", err)
	}
}

// TestRestoreWithoutTheNewest restores a version of a directory where the newest one is damaged on all servers, and where it was on
// servers that are gone.
func TestRestoreWithoutTheNewest(t *testing.T) {
	for _, what := range []string{"damaged", "out of reach"} {
		s := newServers(20)
		d := s.dirs(t)
		c, err := d.Create(t.Context(), usual(0, 3))
		check(t, err)
		for s.holders(t, open(t, d, c), 10, 20) < 3 { // its name decides which servers have it, and these alone are to stay
			c, err = d.Create(t.Context(), usual(0, 3))
			check(t, err)
		}
		for i := 10; i < 20; i++ {
			s.down.Store(i, true)
		}
		x := update(t, d, c, func(e *dir.Editor) error { return e.Set(entry("new", 7)) })
		s.down.Clear()
		for i, store := range s.stores[:10] {
			if what == "out of reach" {
				s.stores[i] = memory.New(memory.Options{})
				continue
			}
			held, err := store.Numbers(t.Context(), []share.StorageIndex{x.Version().Root})
			check(t, err)
			check(t, store.Drop(t.Context(), x.Version().Root, held[0].Numbers))
		}
		if _, err := d.Open(t.Context(), c); err == nil {
			t.Fatalf("%s: still read", what)
		}
		versions, err := d.Versions(t.Context(), c)
		check(t, err)
		x, err = d.Restore(t.Context(), c, versions[len(versions)-1])
		if err != nil || x.Version().Sequence != 3 {
			t.Fatalf("%s: %v", what, err)
		}
		if got := names(t, open(t, d, c)); len(got) != 3 {
			t.Errorf("%s: restored, it has %q", what, got)
		}
	}
}
