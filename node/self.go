package node

import (
	"context"
	"sync"
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

// spaceFresh is how long a measurement of the disk is good for.
const spaceFresh = 2 * time.Second

// A gauge remembers for a moment how much space there is: asking the disk for each peer would be a waste.
type gauge struct {
	mu    sync.Mutex // guards what follows
	taken time.Time
	space share.Space
}

func (g *gauge) read(ctx context.Context, of share.Spacer) (share.Space, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.taken) < spaceFresh {
		return g.space, nil
	}
	space, err := of.Space(ctx)
	if err != nil {
		return share.Space{}, err
	}
	g.taken, g.space = time.Now(), space
	return space, nil
}

// space returns what the node offers now; nothing where it stores nothing or does not know.
func (n *Node) space(ctx context.Context) share.Space {
	if n.store == nil {
		return share.Space{}
	}
	space, err := n.gauge.read(ctx, n.store)
	if err != nil {
		n.log.Warn("cannot measure the space", "error", err)
	}
	return space
}

// hello is what the node tells other members about itself.
func (n *Node) hello() wire.Hello {
	return wire.Hello{
		Nickname: n.config.Nickname, Version: "cairn/" + n.options.Version,
		Storage: n.serving.Load(), Space: n.space(context.Background()),
	}
}

// answers reports whether the own store is there: a bucket may not be open yet.
func (n *Node) answers() bool { return n.own == nil || n.own.opened() != nil }

// local returns the node's own store as a server.
func (n *Node) local(ctx context.Context) (share.Server, bool) {
	if n.store == nil {
		return share.Server{}, false
	}
	return share.Server{ID: n.dir.id, Nickname: n.config.Nickname, Store: localStore{n.store, n.committed}, Free: n.space(ctx).Free, Local: true, Down: !n.answers()}, true
}
