package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cairn/node/localtree"
)

// place puts into the folder of the grid what it has not yet, and makes it if need be. It reports whether there is one.
func (u *up) place(ctx context.Context, f *folder) (bool, error) {
	f.placing.Lock()
	defer f.placing.Unlock()
	items := f.take()
	if f.passed || len(items) == 0 && !f.made.IsZero() {
		return !f.passed, nil
	}
	c, skipped, err := u.Folders.Folder(ctx, f.entry, items)
	for _, p := range skipped {
		u.problem(p)
	}
	if p, ok := errors.AsType[localtree.Problem](err); ok && f.parent != nil {
		if p.Path == f.entry.Path { // otherwise the folder that it is about tells it
			u.problem(p)
		}
		f.passed = true
		return false, nil
	}
	if err != nil && f.parent == nil {
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("folder %s: %w", f.entry.Path, err)
	}
	f.made = c
	if f.parent != nil && !f.linked {
		f.parent.put(u.item(f.entry, c))
		f.linked = true
	}
	return true, nil
}

// take returns what is to be put into the folder of the grid, in the order of names.
func (f *folder) take() []Item {
	f.mu.Lock()
	defer f.mu.Unlock()
	items := f.items
	f.items = nil
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return items
}

func (f *folder) put(item Item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, item)
}

func (f *folder) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items) > 0
}

// unfinished are the folders of which not everything is stored. It is safe for concurrent use.
type unfinished struct {
	mu      sync.Mutex // guards what follows
	folders map[*folder]bool
}

func (u *unfinished) began(f *folder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.folders[f] = true
}

func (u *unfinished) ended(f *folder) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.folders, f)
}

// deepest returns them, inner ones first.
func (u *unfinished) deepest() []*folder {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.SortedFunc(maps.Keys(u.folders), func(a, b *folder) int { return cmp.Compare(b.depth, a.depth) })
}

// placeAll gives all that is stored its place.
func (u *up) placeAll(ctx context.Context) error {
	for _, f := range u.deepest() {
		if !f.waits() {
			continue
		}
		if _, err := u.place(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// placeNowAndThen does so every now and then, until the function that it returns is called.
func (u *up) placeNowAndThen() (stop func()) {
	if u.Every == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(u.ctx)
	var task sync.WaitGroup
	task.Go(func() {
		tick := time.NewTicker(u.Every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := u.placeAll(u.ctx); err != nil {
				u.cancel(err)
				return
			}
		}
	})
	return func() {
		cancel()
		task.Wait()
	}
}
