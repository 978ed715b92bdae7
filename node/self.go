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

// expire has the next read ask again.
func (g *gauge) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = time.Time{}
}

// lends reports whether the node stores for others.
func (n *Node) lends() bool { return n.store != nil && n.config.Storage.Enabled }

// space returns what the node offers now; nothing where it lends nothing or does not know.
func (n *Node) space(ctx context.Context) share.Space {
	if !n.lends() {
		return share.Space{}
	}
	space, err := n.gauge.read(ctx, spacer(n.measure))
	if err != nil {
		n.log.Warn("cannot measure the space", "error", err)
	}
	return space
}

// A spacer is a function that says what is offered.
type spacer func(context.Context) (share.Space, error)

func (f spacer) Space(ctx context.Context) (share.Space, error) { return f(ctx) }

// measure asks the own store. A bucket behind the disk that is given no bound counts for others as if it could take as much as the disk: what
// a node is said to lend decides how much its owner may use.
func (n *Node) measure(ctx context.Context) (share.Space, error) {
	if n.spill == nil || n.config.Spill.Offer > 0 {
		return n.store.Space(ctx)
	}
	near, err := n.spill.store.Near().Space(ctx)
	if err != nil {
		return share.Space{}, err
	}
	far, err := n.spill.store.FarSide().Space(ctx)
	if err != nil { // nothing is said of what cannot be told
		return near, ctx.Err()
	}
	return share.Space{Offered: near.Offered + far.Used, Used: near.Used + far.Used, Free: near.Free + min(far.Free, near.Offered)}, nil
}

// hello is what the node tells other members about itself.
func (n *Node) hello() wire.Hello {
	serving := n.serving.Load()
	return wire.Hello{
		Nickname: n.config.Nickname, Version: "cairn/" + n.options.Version,
		Storage: serving && n.lends(), Serves: serving && !n.lends(), Space: n.space(context.Background()),
	}
}

// answers reports whether the own store is there: a bucket may not be open yet.
func (n *Node) answers() bool { return n.own == nil || n.own.opened() != nil }

// local returns the node's own store as a server for files, and the bucket behind the disk as another one.
func (n *Node) local(ctx context.Context) []share.Server {
	if n.store == nil {
		return nil
	}
	if n.spill != nil {
		return n.spill.places(ctx, n)
	}
	own := n.self(n.store, n.space(ctx).Free)
	if n.own != nil {
		own.Trouble = n.own.problem()
	}
	return []share.Server{own}
}

// localHeads returns the node's own store as a server for heads. They are kept in the bucket behind the disk only where the disk does not take
// them, and whoever sets one cannot know.
func (n *Node) localHeads(ctx context.Context) []share.Server {
	if n.spill == nil || n.disk == nil {
		return n.local(ctx)
	}
	return []share.Server{n.self(n.store, n.space(ctx).Free)}
}

// self returns a store of this node as a server under the node's id.
func (n *Node) self(of store, free int64) share.Server {
	return share.Server{ID: n.dir.id, Nickname: n.config.Nickname, Store: localStore{of, n.committed}, Free: free, Local: true, Down: !n.answers()}
}
