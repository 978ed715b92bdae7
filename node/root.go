package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"cairn/grid"
	"cairn/node/state"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// A home is the person's root directory.
type home struct {
	key   keys.WriteKey
	grid  *grid.Grid
	state *state.State

	making sync.Mutex  // held by who may be making the directory
	made   atomic.Bool // it is known to exist
}

func (n *Node) openState(context.Context) (err error) {
	if n.state, err = state.Open(n.dir.file(stateFile), n.log.With("part", "state")); err != nil {
		return err
	}
	n.opened(n.state)
	return nil
}

func (n *Node) openHome(context.Context) error {
	key, err := n.dir.RootKey()
	if err != nil {
		return err
	}
	n.home = &home{key: key, grid: n.grid, state: n.state}
	n.aliases, err = openAliases(n.dir.file(aliasFile), n)
	return err
}

// capability returns the root directory's write capability.
func (h *home) capability() capability.Capability { return capability.Directory(h.key) }

// exists reports whether the directory was ever seen, or is found now.
func (h *home) exists(ctx context.Context) bool {
	if h.made.Load() {
		return true
	}
	if _, seen := h.state.Seen(capability.NameOf(h.key)); seen {
		h.made.Store(true)
		return true
	}
	_, err := h.grid.Dirs().Open(ctx, h.capability())
	return !errors.Is(err, share.ErrNotFound)
}

// make makes the directory unless it exists.
func (h *home) make(ctx context.Context) error {
	if h.exists(ctx) {
		return nil
	}
	h.making.Lock()
	defer h.making.Unlock()
	if h.exists(ctx) {
		return nil
	}
	if err := h.grid.Dirs().CreateAt(ctx, h.key, nil); err != nil && !errors.Is(err, share.ErrConflict) {
		return fmt.Errorf("make the root directory: %w", err)
	}
	h.made.Store(true)
	return nil
}
