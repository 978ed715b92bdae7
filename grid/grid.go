// Package grid is the facade: what a user of a grid can do. It turns bytes into capabilities and back, and keeps files
// healthy, over whatever servers there are.
package grid

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"cairn/grid/dir"
	"cairn/grid/file"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/grid/turn"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// ErrChanged says that a file was not what it had been announced to be when it was read for storing: it was changed
// meanwhile.
var ErrChanged = errors.New("the file changed while it was read")

// Config is what a Grid works with.
type Config struct {
	// Servers returns the storage servers that are known, those that do not answer marked as Down.
	Servers func(context.Context) []share.Server
	// HeadServers, if set, returns the servers that keep heads, where they are others than those of Servers.
	HeadServers func(context.Context) []share.Server
	// Copies, if set, returns the server on which complete copies are kept, of what is stored with KeepCopy; false where there is none.
	Copies func(context.Context) (share.Server, bool)
	// Locate, if set, finds servers that say they hold shares of a file, for grids too large to ask everybody. It
	// returns nil where the servers that Servers gives are all there are.
	Locate func(context.Context, share.StorageIndex) []share.Server
	// Terms, if set, returns what holds for files that do not ask for anything else. They may change while the grid is used.
	Terms func() Terms
	// Secret makes the keys of this account's files depend on their contents.
	Secret keys.ConvergenceSecret
	// Memory remembers the newest heads of mutable things; nil is one that lasts as long as the Grid.
	Memory mutable.Memory
	// Owner is the identity that holds the leases.
	Owner  string
	Logger *slog.Logger
}

// Terms are what holds for files that do not ask for anything else.
type Terms struct {
	// Params is the encoding; zero lets the number of servers decide.
	Params share.Params
	// Lease is how long leases run; 0 means share.DefaultLease.
	Lease time.Duration
	// Retention is which past versions are kept of what is new; zero means share.DefaultRetention.
	Retention share.Retention
}

// A Grid stores and reads files. It is safe for concurrent use.
type Grid struct {
	Config
	files *mutable.Files
	dirs  *dir.Dirs
	tree  *tree.Tree
	// turns lets uploads of the same bytes under the same key go one after the other: servers keep one session of each, and a
	// second writer would take it from the first.
	turns      turn.Turns[share.UploadID]
	uses       uses
	ctx        context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu     sync.Mutex // guards what follows, and background against a Wait at the same time
	closed bool
}

// New returns a grid. Close ends what it does in the background.
func New(c Config) *Grid {
	if c.Terms == nil {
		c.Terms = func() Terms { return Terms{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Grid{Config: c}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.newNames()
	return g
}

// Files are the grid's mutable files.
func (g *Grid) Files() *mutable.Files { return g.files }

// Dirs are the grid's directories.
func (g *Grid) Dirs() *dir.Dirs { return g.dirs }

// Tree works with paths over the grid's directories.
func (g *Grid) Tree() *tree.Tree { return g.tree }

// Close gives uploads that still have servers to hear from a last moment, and ends all other work in the background.
func (g *Grid) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.background.Wait()
	return nil
}

// inBackground runs a function that Close waits for, with a context that ends with Close. After Close it runs it at once,
// in the foreground.
func (g *Grid) inBackground(f func(context.Context)) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		f(g.ctx)
		return
	}
	g.background.Go(func() { f(g.ctx) })
	g.mu.Unlock()
}

// ParamsFor returns the parameters that a file gets which does not ask for others, with the servers known now.
func (g *Grid) ParamsFor(ctx context.Context) share.Params {
	return g.params(share.Params{}, g.Servers(ctx))
}

func (g *Grid) params(asked share.Params, servers []share.Server) share.Params {
	if !asked.IsZero() {
		return asked
	}
	if p := g.Terms().Params; !p.IsZero() {
		return p
	}
	count := 0
	for _, s := range servers {
		if !s.Last {
			count++
		}
	}
	return share.DefaultParams(count)
}

func (g *Grid) lease() share.Lease {
	return share.Lease{Owner: g.Owner, Expires: time.Now().Add(g.leaseTime())}
}

// retention returns which past versions are kept of what is new.
func (g *Grid) retention() share.Retention {
	if r := g.Terms().Retention; r != (share.Retention{}) {
		return r
	}
	return share.DefaultRetention
}

// leaseTime returns how long leases run.
func (g *Grid) leaseTime() time.Duration {
	if d := g.Terms().Lease; d != 0 {
		return d
	}
	return share.DefaultLease
}

// finders returns what looks for further holders of a file while the known servers are asked.
func (g *Grid) finders(index share.StorageIndex) []file.Finder {
	if g.Locate == nil {
		return nil
	}
	return []file.Finder{func(ctx context.Context) []share.Server { return g.Locate(ctx, index) }}
}

// serversFor returns all servers to ask about a file, for those who have to know of every share.
func (g *Grid) serversFor(ctx context.Context, index share.StorageIndex) []share.Server {
	servers := g.Servers(ctx)
	if g.Locate == nil {
		return servers
	}
	known := make(map[share.ServerID]bool, len(servers))
	for _, s := range servers {
		known[s.ID] = true
	}
	for _, s := range g.Locate(ctx, index) {
		if !known[s.ID] {
			servers = append(servers, s)
		}
	}
	return servers
}

// Stat is what a capability says of its file, and what the root adds to it.
type Stat struct {
	Kind         string `json:"kind"`
	Size         int64  `json:"size"`
	Needed       int    `json:"needed,omitempty"`
	Total        int    `json:"total,omitempty"`
	BlockSize    int    `json:"block_size,omitempty"`
	StorageIndex string `json:"storage_index,omitempty"`
	// Copy is set where a copy is kept that is enough to read the file.
	Copy bool `json:"copy,omitempty"`
}

// newestObject returns the storage index of what a capability leads to: of the newest version where it can change. Who cannot
// read takes the servers' word for which version that is, as far as it is signed.
func (g *Grid) newestObject(ctx context.Context, c capability.Capability) (share.StorageIndex, error) {
	if index, ok := c.StorageIndex(); ok {
		return index, nil
	}
	name, ok := c.Name()
	if !ok {
		return share.StorageIndex{}, c.Want(capability.KindFile, capability.KindFileVerify)
	}
	if _, reads := c.ReadKey(); !reads {
		newest, err := g.files.Newest(ctx, name)
		return newest.Root, err
	}
	v, err := g.files.Read(ctx, c)
	if err != nil {
		return share.StorageIndex{}, err
	}
	return v.Head.Root, nil
}

// stat describes a file by its root.
func stat(kind capability.Kind, root encoding.Root) Stat {
	return Stat{
		Kind: kind.String(), Size: root.Size, Needed: root.Needed, Total: root.Total, BlockSize: root.BlockSize,
		StorageIndex: root.StorageIndex().String(),
	}
}
