package dir

import (
	"context"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/capability"
)

// How long, and how many directories, a Once context remembers.
const (
	onceFor = time.Second
	onceMax = 256
)

// Once returns a context within which Open asks the servers for a directory once, and gives the same version again for a
// second, or until an Update within the context makes another. It is for what looks at the same directories several
// times to do one thing. An Update does not rely on it.
func Once(ctx context.Context) context.Context {
	if opened, _ := ctx.Value(onceKey{}).(*glances); opened != nil {
		return ctx
	}
	return context.WithValue(ctx, onceKey{}, &glances{seen: map[glanced]glance{}})
}

type onceKey struct{}

// glances are the directories that were opened within a Once context; nil remembers nothing.
type glances struct {
	mu   sync.Mutex // guards what follows
	seen map[glanced]glance
}

// glanced is a directory as a capability of that kind shows it.
type glanced struct {
	name share.Name
	kind capability.Kind
}

type glance struct {
	x  *Directory
	at time.Time
}

func glancesOf(ctx context.Context) *glances {
	g, _ := ctx.Value(onceKey{}).(*glances)
	return g
}

// get returns what was seen, nil where that is nothing or too long ago.
func (g *glances) get(c capability.Capability) *Directory {
	name, mutable := c.Name()
	if g == nil || !mutable {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := g.seen[glanced{name, c.Kind()}]
	if seen.x == nil || time.Since(seen.at) > onceFor || !seen.x.c.Equal(c) {
		return nil
	}
	return seen.x
}

func (g *glances) put(x *Directory) {
	name, mutable := x.c.Name()
	if g == nil || !mutable {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.seen) >= onceMax {
		clear(g.seen)
	}
	g.seen[glanced{name, x.c.Kind()}] = glance{x, time.Now()}
}

// newerOf returns the newer of two versions, either of which may be nil.
func newerOf(a, b *Directory) *Directory {
	if a == nil || b != nil && b.version.Sequence > a.version.Sequence {
		return b
	}
	return a
}

// wrote replaces what was seen of a directory by the version that was just written.
func (g *glances) wrote(x *Directory) {
	if g == nil {
		return
	}
	name, _ := x.c.Name()
	g.mu.Lock()
	for _, kind := range []capability.Kind{capability.KindDir, capability.KindDirRead} {
		delete(g.seen, glanced{name, kind})
	}
	g.mu.Unlock()
	g.put(x)
}
