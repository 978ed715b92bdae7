package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cairn/grid"
	"cairn/introducer"
	"cairn/node/control"
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

// rootAway returns an error where the root directory was found nowhere, and this is no proof that nothing was ever put into it: another
// device of the person may have done so, on nodes that do not answer now.
func (n *Node) rootAway() error {
	if n.roster == nil {
		return nil
	}
	now := time.Now()
	if me, ok := n.roster.AccountOf(n.dir.id, now); !ok || len(me.Devices) < 2 {
		return nil
	}
	nodes, answer := 0, 1 // this one does
	for _, m := range n.roster.Members(now) {
		if m.State == introducer.StateMember {
			nodes += len(m.Devices)
		}
	}
	for _, p := range n.host.Peers() {
		if p.Responsive && p.Problem == "" {
			answer++
		}
	}
	if answer >= nodes {
		return nil
	}
	return &control.Error{
		Code:     control.CodeNotEnough,
		Message:  fmt.Sprintf("%s: the root directory is on none of the %d nodes that answer; the grid has %d", control.HomeAlias, answer, nodes),
		Hint:     "wait for the others; \"cairn peers\" shows who is there. What is put into home: meanwhile is brought together with what was in it",
		Answered: answer, Asked: nodes,
	}
}
