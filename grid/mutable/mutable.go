// Package mutable keeps files that change, spread over servers.
//
// A mutable file is a name, which is a public key, and a succession of versions. Each version is an encoded file like any
// other, under keys of its own; the signed head that points at it is kept by the head servers, and each of them replaces
// one head by the next only when the writer knows what it replaces. A write counts when enough distinct servers hold its
// shares, and most head servers its head.
package mutable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// Times that bound what a person waits for.
const (
	// askTimeout bounds one question to one server.
	askTimeout = 3 * time.Second
	// minGrace and the time already spent decide how long enough answers wait for the rest.
	minGrace = 30 * time.Millisecond
	// rivalGrace is how long a read waits for the other servers where two versions have the same sequence.
	rivalGrace = 500 * time.Millisecond
	// patience is how long a server may take to acknowledge a version before its shares are given to others as well.
	patience = 2 * time.Second
	// writeTimeout bounds one exchange of a write with one server.
	writeTimeout = 15 * time.Second
)

// maxHeadServers is how many servers keep the heads of one name.
const maxHeadServers = 32

// Env is what Files work with.
type Env struct {
	// Servers returns the storage servers that are known, those that do not answer marked as Down.
	Servers func(context.Context) []share.Server
	// HeadServers, if set, returns those among which the heads and small versions are spread instead. A server of Servers may be
	// there under the same id with another Store.
	HeadServers func(context.Context) []share.Server
	// Locate, if set, finds servers that say they hold shares of a file, for grids too large to ask everybody.
	Locate func(context.Context, share.StorageIndex) []share.Server
	// Copies, if set, returns the server that gets a copy of what is written and never changes, the zero Server where none is wanted.
	Copies func(context.Context) (share.Server, error)
	// Params returns the encoding of what is written. Nil lets the number of servers decide.
	Params func(context.Context) share.Params
	// Owner is the identity that holds the leases.
	Owner string
	// Lease returns how long leases run. Nil means share.DefaultLease.
	Lease func() time.Duration
	// Retention returns which past versions of what is new are kept. Nil means share.DefaultRetention.
	Retention func() share.Retention
	// Memory remembers the newest heads, and as a Keeper versions that lost a collision. Nil is one that lasts as long as the Files.
	Memory Memory
	// Background, if set, runs a function that finishes a write which has succeeded already. It ends soon after its
	// context. Without it a write that has succeeded waits for the others a little longer, and then ends what is under way.
	Background func(func(context.Context))
	Logger     *slog.Logger
}

// Files are the mutable files of a grid. They are safe for concurrent use.
type Files struct {
	env Env

	mu sync.Mutex
	// litter are the files of versions that were refused, per name: the next version drops them.
	litter map[share.Name][]share.StorageIndex
	// suspects are heads that kept a write from succeeding because they may have been acknowledged.
	suspects map[share.Name]map[share.Digest]bool
	// seen says when each server was on the list of servers the last time.
	seen map[share.ServerID]time.Time

	parsed *lru.Cache[share.Digest, head.Head] // past heads that verified
}

// maxParsed is how many heads are remembered, of about 500 bytes each.
const maxParsed = 4096

// New returns the mutable files of an environment.
func New(env Env) *Files {
	if env.Params == nil {
		env.Params = func(ctx context.Context) share.Params { return share.DefaultParams(len(env.Servers(ctx))) }
	}
	if env.HeadServers == nil {
		env.HeadServers = env.Servers
	}
	if env.Lease == nil {
		env.Lease = func() time.Duration { return share.DefaultLease }
	}
	if env.Retention == nil {
		env.Retention = func() share.Retention { return share.DefaultRetention }
	}
	if env.Memory == nil {
		env.Memory = NewMemory()
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	parsed, _ := lru.New[share.Digest, head.Head](maxParsed) // it fails for sizes below one
	return &Files{
		env: env, litter: map[share.Name][]share.StorageIndex{}, suspects: map[share.Name]map[share.Digest]bool{},
		seen: map[share.ServerID]time.Time{}, parsed: parsed,
	}
}

// A Memory remembers the newest head of each name that was read or written, so that servers cannot pass off an older one
// as the newest. It is safe for concurrent use.
type Memory interface {
	// Seen returns the newest head that was remembered.
	Seen(share.Name) (head.Head, bool)
	// Remember remembers a head unless it has a newer one.
	Remember(head.Head) error
}

// NewMemory returns a Memory that does not outlive the program.
func NewMemory() Memory {
	return &memory{heads: map[share.Name]head.Head{}, kept: map[share.Name][]kept{}}
}

type memory struct {
	mu    sync.Mutex
	heads map[share.Name]head.Head
	kept  map[share.Name][]kept
}

func (m *memory) Seen(name share.Name) (head.Head, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.heads[name]
	return h, ok
}

func (m *memory) Remember(h head.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.heads[h.Name]; !ok || h.Sequence >= old.Sequence {
		m.heads[h.Name] = h
	}
	return nil
}

// subject returns what a capability reads: the name, and the key that all of its versions' keys come from.
func subject(c capability.Capability) (share.Name, keys.ReadKey, error) {
	if err := c.Want(capability.KindMutable, capability.KindMutableRead, capability.KindDir, capability.KindDirRead); err != nil {
		return share.Name{}, keys.ReadKey{}, err
	}
	name, _ := c.Name()
	key, _ := c.ReadKey()
	return name, key, nil
}

func (m *Files) lease() share.Lease {
	return share.Lease{Owner: m.env.Owner, Expires: time.Now().Add(m.env.Lease())}
}

// finders returns what looks for further holders of a file.
func (m *Files) finders(index share.StorageIndex) []file.Finder {
	if m.env.Locate == nil {
		return nil
	}
	return []file.Finder{func(ctx context.Context) []share.Server { return m.env.Locate(ctx, index) }}
}

// A ServerError says which server an error came from.
type ServerError struct {
	Server share.Server
	Err    error
}

func (e *ServerError) Error() string { return "server " + e.Server.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ServerError) Unwrap() error { return e.Err }

// ServerID returns the server.
func (e *ServerError) ServerID() share.ServerID { return e.Server.ID }

var errNoAnswer = fmt.Errorf("%w: it did not answer in time", share.ErrUnavailable)

// inTime says what it means when an error is that of a context which has ended by its time.
func inTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errNoAnswer
	}
	return err
}
