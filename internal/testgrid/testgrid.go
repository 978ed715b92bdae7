// Package testgrid runs a whole grid in one process: real libp2p hosts on the loopback interface, the real storage
// protocol between them, a Store for each node. Nothing of ours is replaced by a fake.
package testgrid

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/grid"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/storage"
	"cairn/p2p/wire"
	"cairn/share"
	"cairn/share/keys"
	"cairn/share/memory"
)

// Config says what a grid is made of. The zero value is ten nodes that keep shares in memory.
type Config struct {
	Nodes  int          // 10 when zero
	Params share.Params // by the number of nodes when zero
	// Lease returns how long leases run; share.DefaultLease when nil.
	Lease func() time.Duration
	// Store makes the store of the i-th node.
	Store func(i int) share.Store
	// Serve makes the i-th node answer the storage protocol and returns what ends that, or nil for an honest server.
	Serve func(i int, h *p2p.Host, store share.Store) io.Closer
	// Logger receives what the nodes log; nothing when nil.
	Logger *slog.Logger
}

// A Grid is a running grid. The test that made it closes it.
type Grid struct {
	// Nodes are all nodes in the order in which they came, those that left included.
	Nodes []*Node

	t      testing.TB
	config Config
}

// New starts a grid and returns when every node knows all others. It is closed with the test.
func New(t testing.TB, c Config) *Grid {
	t.Helper()
	if c.Nodes == 0 {
		c.Nodes = 10
	}
	if c.Store == nil {
		c.Store = func(int) share.Store { return memory.New(memory.Options{}) }
	}
	if c.Lease == nil {
		c.Lease = func() time.Duration { return 0 }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Grid{t: t, config: c}
	t.Cleanup(g.close)
	g.Add(c.Nodes)
	return g
}

// Add starts n more nodes and returns them when all running nodes know each other.
func (g *Grid) Add(n int) []*Node {
	g.t.Helper()
	first := len(g.Nodes)
	for range n {
		node, err := g.start(g.t.Context())
		if err != nil {
			g.t.Fatalf("start node %d: %v", len(g.Nodes), err)
		}
		g.Nodes = append(g.Nodes, node)
	}
	g.meet()
	return g.Nodes[first:]
}

func (g *Grid) start(ctx context.Context) (*Node, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	i := len(g.Nodes)
	n := &Node{Name: fmt.Sprintf("node-%02d", i), grid: g, clients: map[share.ServerID]*storage.Client{}}
	n.Store = &pausable{Store: g.config.Store(i)}
	n.Host, err = p2p.Open(ctx, p2p.Config{
		Key: key, Grid: "testgrid", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: g.bootstrap(),
		// So many hosts in one process would take each other for dead whenever it stood still.
		DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience,
		Self:   n.hello,
		Logger: g.config.Logger.With("node", n.Name),
	})
	if err != nil {
		return nil, err
	}
	if g.config.Serve != nil {
		n.server = g.config.Serve(i, n.Host, n.Store)
	}
	if n.server == nil {
		server := storage.NewServer(n.Store, storage.ServerOptions{Logger: g.config.Logger})
		server.Register(n.Host)
		n.server = server
	}
	n.Grid = grid.New(grid.Config{
		Servers: n.Servers, Secret: keys.NewConvergenceSecret(), Owner: string(n.Host.ID()),
		Terms:  func() grid.Terms { return grid.Terms{Params: g.config.Params, Lease: g.config.Lease()} },
		Logger: g.config.Logger.With("node", n.Name),
	})
	return n, nil
}

// bootstrap returns where the first nodes that run can be found.
func (g *Grid) bootstrap() []string {
	var addresses []string
	for _, n := range g.Running() {
		addresses = append(addresses, n.Host.Addresses()...)
		if len(addresses) >= 3 {
			break
		}
	}
	return addresses
}

// Running returns the nodes that have not left.
func (g *Grid) Running() []*Node {
	var running []*Node
	for _, n := range g.Nodes {
		if !n.left {
			running = append(running, n)
		}
	}
	return running
}

// Node returns the running node with this id, nil when there is none.
func (g *Grid) Node(id share.ServerID) *Node {
	for _, n := range g.Running() {
		if n.ID() == id {
			return n
		}
	}
	return nil
}

// meet waits until every running node knows all others.
func (g *Grid) meet() {
	g.t.Helper()
	running := g.Running()
	for _, n := range running {
		waittest.Eventually(g.t, n.Name+" knows all others", func() bool { return n.knows() == len(running)-1 })
	}
}

func (g *Grid) close() {
	var closing sync.WaitGroup
	for _, n := range g.Running() {
		closing.Go(n.Leave)
	}
	closing.Wait()
}

// A Node is one node of the grid, gateway and storage server at once.
type Node struct {
	Name  string
	Host  *p2p.Host
	Store *pausable
	Grid  *grid.Grid

	grid   *Grid
	server io.Closer
	left   bool

	mu      sync.Mutex // guards clients
	clients map[share.ServerID]*storage.Client
}

// ID returns the id of the node.
func (n *Node) ID() share.ServerID { return n.Host.ID() }

// Leave stops the node; nothing of it remains. Its peers are not told, they notice.
func (n *Node) Leave() {
	if n.left {
		return
	}
	n.left = true
	n.Store.Resume()
	err := n.Grid.Close()
	n.mu.Lock()
	for _, client := range n.clients {
		err = errors.Join(err, client.Close())
	}
	n.mu.Unlock()
	if err = errors.Join(err, n.server.Close(), n.Host.Close()); err != nil {
		n.grid.t.Errorf("close %s: %v", n.Name, err)
	}
}

func (n *Node) hello() wire.Hello {
	space, err := n.Store.Space(context.Background())
	return wire.Hello{Nickname: n.Name, Version: "test", Storage: err == nil, Space: space}
}

// knows returns how many peers answer and lend space.
func (n *Node) knows() int {
	known := 0
	for _, peer := range n.Host.Peers() {
		if peer.Responsive && peer.Storage && peer.Space.Free > 0 {
			known++
		}
	}
	return known
}

// Servers returns the node's own store and those of all peers that it knows.
func (n *Node) Servers(ctx context.Context) []share.Server {
	space, _ := n.Store.Space(ctx)
	servers := []share.Server{{ID: n.ID(), Nickname: n.Name, Store: n.Store, Free: space.Free, Local: true}}
	for _, peer := range n.Host.Peers() {
		if !peer.Storage || peer.Problem != "" {
			continue
		}
		servers = append(servers, share.Server{
			ID: peer.ID, Nickname: peer.Nickname, Store: n.client(peer.ID), Free: peer.Space.Free, Down: !peer.Responsive,
		})
	}
	return servers
}

func (n *Node) client(id share.ServerID) *storage.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.clients[id] == nil {
		n.clients[id] = storage.NewClient(n.Host, id, storage.ClientOptions{})
	}
	return n.clients[id]
}
