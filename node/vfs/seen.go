package vfs

import (
	"context"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/share/capability"
)

// maxSeen is how many directories are kept.
const maxSeen = 1000

// seen keeps the directories that were opened lately, so that a path does not ask the grid for each of its names again.
type seen struct {
	dirs  *dir.Dirs
	fresh time.Duration

	mu   sync.Mutex // guards what follows
	kept map[string]sight
}

type sight struct {
	x  *dir.Directory
	at time.Time
}

func newSeen(dirs *dir.Dirs, fresh time.Duration) *seen {
	return &seen{dirs: dirs, fresh: fresh, kept: map[string]sight{}}
}

// open returns a directory as it was a moment ago, or is.
func (s *seen) open(ctx context.Context, c capability.Capability) (*dir.Directory, error) {
	s.mu.Lock()
	had, ok := s.kept[c.Text()]
	s.mu.Unlock()
	if ok && (time.Since(had.at) < s.fresh || had.x.Version().Sequence == 0) {
		return had.x, nil
	}
	began := time.Now()
	x, err := s.dirs.Open(ctx, c)
	if err == nil {
		s.keep(x, began)
	}
	return x, err
}

// update changes a directory and keeps what came of it.
func (s *seen) update(ctx context.Context, c capability.Capability, edit func(*dir.Editor) error) error {
	began := time.Now()
	x, err := s.dirs.Update(ctx, c, edit)
	if err != nil {
		s.forget(c)
		return err
	}
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
