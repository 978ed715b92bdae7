package vfs

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share/capability"
)

const (
	// maxSeen is how many directories are kept.
	maxSeen = 1000
	// openTries is how often a directory is opened again because it was changed here meanwhile.
	openTries = 3
)

// seen keeps the directories that were opened lately, so that a path does not ask the grid for each of its names again.
type seen struct {
	dirs  *dir.Dirs
	fresh time.Duration

	mu   sync.Mutex // guards what follows
	kept map[string]sight
	own  *lru.Cache[string, uint64] // of directories, by their IDs, the newest version that this FS wrote
}

type sight struct {
	x  *dir.Directory
	at time.Time
}

func newSeen(dirs *dir.Dirs, fresh time.Duration) *seen {
	own, err := lru.New[string, uint64](maxSeen)
	if err != nil {
		panic("vfs: " + err.Error()) // only of a size that is not positive
	}
	return &seen{dirs: dirs, fresh: fresh, kept: map[string]sight{}, own: own}
}

// open returns a directory as it was a moment ago, or is.
func (s *seen) open(ctx context.Context, c capability.Capability) (*dir.Directory, error) {
	s.mu.Lock()
	had, ok := s.kept[c.Text()]
	s.mu.Unlock()
	if ok && (time.Since(had.at) < s.fresh && s.current(had.x) || had.x.Version().Sequence == 0) {
		return had.x, nil
	}
	for try := 1; ; try++ {
		began := time.Now()
		x, err := s.dirs.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		s.keep(x, began)
		if s.current(x) {
			return x, nil
		}
		if try == openTries {
			s.own.Add(tree.ID(c), x.Version().Sequence) // that is what there is now
			return x, nil
		}
	}
}

// current reports whether a directory is at least what this FS made of it last: an answer may have been overtaken by a change.
func (s *seen) current(x *dir.Directory) bool {
	own, ok := s.own.Peek(tree.ID(x.Capability()))
	return !ok || x.Version().Sequence >= own
}

// update changes a directory and keeps what came of it.
func (s *seen) update(ctx context.Context, c capability.Capability, edit func(*dir.Editor) error) error {
	began := time.Now()
	x, err := s.dirs.Update(ctx, c, edit)
	if err != nil {
		s.forget(c)
		return err
	}
	s.own.Add(tree.ID(c), x.Version().Sequence)
	s.keep(x, began)
	return nil
}

// keep notes a directory, unless a newer version of it is known: answers overtake each other.
func (s *seen) keep(x *dir.Directory, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := x.Capability().Text()
	if had, ok := s.kept[key]; ok && had.x.Version().Sequence > x.Version().Sequence {
		return
	}
	if len(s.kept) >= maxSeen {
		clear(s.kept) // what is still used comes back
	}
	s.kept[key] = sight{x, at}
}

// forget makes the next open ask the grid. A directory can be known by two capabilities.
func (s *seen) forget(c capability.Capability) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, had := range s.kept {
		if tree.ID(had.x.Capability()) == tree.ID(c) {
			delete(s.kept, key)
		}
	}
}
