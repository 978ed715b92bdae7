// Package node composes everything from a configuration, runs it, stops it.
//
// A node is a directory (Dir) and, while it runs, a Node: the disk store, the host in the grid's network, the storage
// server for the other members, a client for each of them, the grid's facade on top, and the local API.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cairn/grid"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/introducer/invite"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/state"
	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/p2p/storage"
	"cairn/share"
	"cairn/share/disk"
	"cairn/share/keys"
)

// clockSlack is how far two clocks may be apart without a warning.
const clockSlack = 24 * time.Hour

// Options say what a node is told beside its configuration.
type Options struct {
	// Version is the version of the software, told to other members.
	Version string
	Logger  *slog.Logger
	// Unlock returns the passphrase of a directory that is locked; Open fails with ErrLocked when nil.
	Unlock Unlock
}

// A Node is a running node. It is safe for concurrent use.
type Node struct {
	dir      *Dir
	config   config.Config
	options  Options
	log      *slog.Logger
	started  time.Time
	address  introducer.Address
	roster   *introducer.Roster // nil in an open grid
	exchange *exchange.Exchange // nil in an open grid
	issuer   *invite.Issuer     // nil in an open grid

	// What the node is made of, in the order in which it is opened; closers undoes it in reverse.
	closers   []io.Closer
	disk      *disk.Store  // nil for a gateway, and where the shares are in a bucket
	own       *bucketStore // nil unless the shares are in a bucket
	store     store        // the disk, or the disk and the bucket behind it, or the bucket; nil for a gateway
	spill     *spilling    // nil where no bucket is set
	host      *p2p.Host
	discovery *discovery.Discovery
	servers   *servers
	accounts  accounts
	quota     *quota          // nil for a gateway
	server    *storage.Server // nil for a gateway
	standings standings
	state     *state.State
	grid      *grid.Grid
	home      *home
	files     *fileSystem
	aliases   *aliases
	sharing   *sharing // nil in an open grid
	control   *control.Server
	endpoint  control.Endpoint

	// maintaining is held by who goes through the leases.
	maintaining sync.Mutex
	// health is how the root directory was found the last time; nil before.
	health atomic.Pointer[control.Health]

	history  *history
	gauge    gauge
	serving  atomic.Bool // peers can store here
	shutdown chan struct{}
	stopping atomic.Bool
}

// Open starts the node of a directory. Its errors say which part did not start: a *RunningError when a process runs on
// the directory already, ErrNoNode, ErrNoGrid, ErrExposed, or what the part says. The caller closes the node. The
// context bounds the start only.
func Open(ctx context.Context, path string, c config.Config, options Options) (*Node, error) {
	dir, err := OpenDirWith(path, options.Unlock)
	if err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		dir: dir, config: c, options: options, log: options.Logger, started: time.Now(),
		history: newHistory(), shutdown: make(chan struct{}),
	}
	for _, open := range []func(context.Context) error{
		n.openLock, n.openGridFile, n.openRoster, n.checkBucket, n.openDisk, n.openSpill, n.openHost, n.openEvents, n.openWatch, n.openDiscovery, n.openExchange, n.openStorage, n.openUpkeep,
		n.openState, n.openGrid, n.openHome, n.openFileSystem, n.openMaintenance, n.openSharing, n.openInvitations, n.openRecovery, n.openControl,
	} {
		err := ctx.Err()
		if err == nil {
			err = open(ctx)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start node %s: %w", path, err), n.Close())
		}
	}
	return n, nil
}

// closerFunc is a function that closes something.
type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func (n *Node) opened(c io.Closer) { n.closers = append(n.closers, c) }

func (n *Node) openLock(context.Context) error {
	lock, err := n.dir.lock()
	if err != nil {
		return err
	}
	n.opened(lock)
	if err := n.dir.tidy(); err != nil {
		return err
	}
	return control.Remove(n.dir.path) // left behind by a node that was killed
}

func (n *Node) openGridFile(context.Context) (err error) {
	if n.address, err = n.dir.Grid(); err != nil {
		return err
	}
	if created := n.address.Grid.Created; time.Now().Before(created.Add(-clockSlack)) {
		n.log.Warn("this machine's clock is wrong: it is before the day on which the grid was founded; leases on new files would "+
			"end too early; set the clock", "now", time.Now(), "founded", created)
	}
	return nil
}

func (n *Node) openDisk(ctx context.Context) (err error) {
	if !n.config.Storage.Enabled {
		return nil
	}
	if n.config.Storage.Bucket() {
		return n.openBucketStore(ctx)
	}
	reserve := int64(n.config.Storage.Reserve)
	if reserve == 0 {
		reserve = -1 // the store's word for none
	}
	n.disk, err = disk.Open(n.dir.storage(n.config), disk.Options{
		Offer: int64(n.config.Storage.Offer), Reserve: reserve, Logger: n.log.With("part", "storage"),
		OnQuarantine: n.quarantined, Grace: time.Duration(n.config.Storage.Grace),
	})
	if err != nil {
		return err
	}
	n.opened(n.disk)
	n.store = n.disk
	return nil
}

func (n *Node) openHost(ctx context.Context) (err error) {
	n.host, err = p2p.Open(ctx, p2p.Config{
		Key: n.dir.identity, Grid: n.address.Grid.ID(), Listen: n.config.Network.Listen, Gate: n.gate(),
		Bootstrap: append(append([]string(nil), n.config.Network.Bootstrap...), n.address.Bootstrap...),
		Book:      n.dir.file(bookFile), Self: n.hello, MDNS: n.config.Network.MDNS, Keep: n.config.Network.Keep, Present: n.present(), Logger: n.log.With("part", "network"),
	})
	if err != nil {
		return err
	}
	n.opened(n.host)
	return nil
}

// openDiscovery starts the DHT. It is closed after the host, so that no query is still being answered.
func (n *Node) openDiscovery(context.Context) (err error) {
	n.discovery, err = discovery.New(n.host, discovery.Config{
		Serve: n.lends(), Providers: true, AskAllUpTo: n.config.Network.AskAll, Values: n.values(), Logger: n.log.With("part", "discovery"),
	})
	if err != nil {
		return err
	}
	last := len(n.closers) - 1
	n.closers = append(n.closers[:last], n.discovery, n.closers[last])
	return nil
}

// openStorage serves the own store to the other members and prepares to use theirs.
func (n *Node) openStorage(context.Context) error {
	n.servers = newServers(n.host, n.local, n.localHeads, n.config.Network.AskAll)
	n.opened(n.servers)
	n.accounts = n.newAccounts()
	if n.store == nil {
		return nil
	}
	n.quota = n.newQuota(n.accounts)
	n.server = storage.NewServer(n.store, storage.ServerOptions{Logger: n.log.With("part", "storage"), OnCommit: n.committed, Quota: n.quota, Margin: removalMargin})
	n.server.Register(n.host)
	n.opened(n.server)
	n.serving.Store(true)
	return nil
}

func (n *Node) openGrid(context.Context) error {
	n.grid = grid.New(grid.Config{
		Servers: n.servers.all, HeadServers: n.servers.headServers, Copies: n.copyPlace, Locate: n.locate, Terms: n.terms, Secret: n.dir.secret, Owner: string(n.dir.id), Memory: n.state,
		Logger: n.log.With("part", "grid"),
	})
	n.opened(n.grid)
	return nil
}

func (n *Node) locate(ctx context.Context, index share.StorageIndex) []share.Server {
	return n.servers.locate(ctx, index, n.discovery)
}

// terms returns what holds for files that do not ask for anything else.
func (n *Node) terms() grid.Terms {
	return termsOf(n.config, n.address.Grid, n.roster)
}

// termsOf returns the terms of the node, which overrides those of the grid. The roster is nil in an open grid.
func termsOf(c config.Config, d introducer.Descriptor, roster *introducer.Roster) grid.Terms {
	terms := grid.Terms{Params: d.Params, Retention: c.Retention()}
	if roster != nil {
		settings := roster.Settings(time.Now())
		terms.Params, terms.Lease = settings.Params, settings.Lease
	}
	if p := c.Params(); !p.IsZero() {
		terms.Params = p
	}
	return terms
}

func (n *Node) openControl(context.Context) (err error) {
	n.control, err = control.Listen(n.config.Control.Address, api{n}, n.log.With("part", "control"))
	if err != nil {
		return err
	}
	n.opened(n.control)
	n.endpoint = n.control.Endpoint()
	n.endpoint.PID, n.endpoint.Node = os.Getpid(), string(n.dir.id)
	n.opened(closerFunc(func() error { return control.Remove(n.dir.path) }))
	return n.endpoint.Write(n.dir.path)
}

// Endpoint says how to reach the node's local API.
func (n *Node) Endpoint() control.Endpoint { return n.endpoint }

// ID returns the node's id.
func (n *Node) ID() string { return string(n.dir.id) }

// RootKey returns the key that writes the root directory of the person to whom the node belongs.
func (n *Node) RootKey() (keys.WriteKey, error) { return n.dir.RootKey() }

// GridName returns the name of the node's grid.
func (n *Node) GridName() string { return n.address.Grid.Name }

// Grid returns the facade of the node's grid.
func (n *Node) Grid() *grid.Grid { return n.grid }

// Host returns the node's place in the network.
func (n *Node) Host() *p2p.Host { return n.host }

// Run returns when the context ends or somebody asks the node to stop. The caller closes the node afterwards.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		n.log.Info("stopping", "reason", "interrupted")
	case <-n.shutdown:
		n.log.Info("stopping", "reason", "asked to")
	}
	return nil
}

// Shutdown makes Run return.
func (n *Node) Shutdown() {
	if n.stopping.CompareAndSwap(false, true) {
		close(n.shutdown)
	}
}

// Close stops the node: first what takes orders, then what carries them out, the disk last.
func (n *Node) Close() error {
	n.serving.Store(false)
	var errs []error
	for len(n.closers) > 0 {
		last := len(n.closers) - 1
		errs = append(errs, n.closers[last].Close())
		n.closers = n.closers[:last]
	}
	return errors.Join(errs...)
}
