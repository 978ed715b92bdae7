package s3

import (
	"context"
	"sync"

	"cairn/share"
)

// A gate is a mutex for which nobody waits longer than their context lasts: it is held while the bucket is asked.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// lock returns the context's error when it ends first.
func (g gate) lock(ctx context.Context) error {
	if g.try() {
		return nil
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try locks the gate if nobody has it.
func (g gate) try() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) unlock() { <-g }

// nameGates are a gate for each name that is being changed.
type nameGates struct {
	mu   sync.Mutex
	held map[share.Name]*nameGate
}

type nameGate struct {
	gate  gate
	users int // who holds it and who waits
}

// lock locks a name until the returned function is called.
func (x *nameGates) lock(ctx context.Context, name share.Name) (unlock func(), err error) {
	x.mu.Lock()
	if x.held == nil {
		x.held = map[share.Name]*nameGate{}
	}
	g := x.held[name]
	if g == nil {
		g = &nameGate{gate: newGate()}
		x.held[name] = g
	}
	g.users++
	x.mu.Unlock()
	leave := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if g.users--; g.users == 0 {
			delete(x.held, name)
		}
	}
	if err := g.gate.lock(ctx); err != nil {
		leave()
		return nil, err
	}
	return func() { g.gate.unlock(); leave() }, nil
}
