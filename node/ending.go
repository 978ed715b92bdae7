package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/internal/awake"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

const (
	// endAtOnce is how many former copies are ended at a time, endPerTurn how many of an earlier unsharing are tried in a turn, which takes
	// endTurn at most.
	endAtOnce  = 8
	endPerTurn = 64
	endTurn    = time.Minute
	// endFor is how long a former copy is tried to be ended. What its servers are away for longer, they have let go.
	endFor = 180 * 24 * time.Hour
)

// remember writes down former copies that are to be ended. Those that movingDirectory names too still are in their places.
func (s *sharing) remember(ctx context.Context, former []capability.Capability) error {
	now := time.Now()
	return s.edit(ctx, endingDirectory, func(e *dir.Editor) error {
		for _, c := range former {
			if err := e.Set(dir.Entry{Name: tree.ID(c), Capability: c, Metadata: dir.Metadata{Created: now, Changed: now}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// end makes the newest versions of former copies the last ones, as far as servers take that now. It returns those for which that is done,
// by tree.ID.
func (s *sharing) end(ctx context.Context, former []capability.Capability, progress func(control.Progress)) (done []string) {
	var work errgroup.Group
	work.SetLimit(endAtOnce)
	var mu sync.Mutex
	for i, c := range former {
		progress(control.Progress{Note: "ending former copies", Done: int64(i), Total: int64(len(former))})
		work.Go(func() error {
			if err := s.n.grid.End(ctx, c); err != nil {
				s.n.log.Warn("the last version under former keys could not be written; it is tried again", "what", c.String(), "error", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, tree.ID(c))
			return nil
		})
	}
	_ = work.Wait() // it has no errors
	return done
}

// forget removes former copies from those that are to be ended.
func (s *sharing) forget(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return s.edit(ctx, endingDirectory, func(e *dir.Editor) error {
		for _, id := range ids {
			if err := e.Remove(id); err != nil && !errors.Is(err, share.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// endLeft ends former copies that earlier unsharings left, so many in a turn that others are not held up. The caller holds doing.
func (s *sharing) endLeft(ctx context.Context) error {
	former, late, err := s.left(ctx)
	if err != nil {
		return fmt.Errorf("former copies: %w", err)
	}
	turn, cancel := awake.WithTimeout(ctx, endTurn)
	defer cancel()
	return s.forget(ctx, append(s.end(turn, former, func(control.Progress) {}), late...))
}

// left returns the next former copies that are to be ended, after those of the turn before, and which have been for too long.
func (s *sharing) left(ctx context.Context) (former []capability.Capability, late []string, err error) {
	if !s.n.home.exists(ctx) {
		return nil, nil, nil
	}
	in, err := s.n.names().Resolve(ctx, s.n.home.capability(), endingDirectory)
	if errors.Is(err, share.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	inPlace, err := s.moving(ctx)
	if err != nil {
		return nil, nil, err
	}
	listed := 0
	err = s.n.names().List(ctx, in, s.endedTo, endPerTurn, func(n tree.Node) error {
		e := n.Entry
		listed++
		s.endedTo = e.Name
		switch _, stays := inPlace[e.Name]; {
		case time.Since(e.Created) > endFor:
			late = append(late, e.Name)
		case !stays:
			former = append(former, e.Capability)
		}
		return nil
	})
	if listed < endPerTurn {
		s.endedTo = "" // from the beginning
	}
	return former, late, err
}
