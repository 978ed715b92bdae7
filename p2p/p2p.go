// Package p2p owns the libp2p host: identity, transports, NAT traversal, limits, who may connect.
//
// A Host keeps connections to the members of one grid, tells them about itself and listens to what they tell, so that
// every other package deals with servers by id and never with addresses. Protocol ids are "/cairn/<grid>/<name>"; a peer
// that does not speak the grid's hello is not a member and is sent away.
package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"cairn/p2p/wire"
	"cairn/share"
)

// A Gate decides who may use this node's protocols. Admit returns nil for a member and the reason otherwise; it is
// called often and from many goroutines, and must not block.
type Gate interface {
	Admit(id share.ServerID) error
}

// A Finder looks up where a peer listens now, for peers that no longer answer where they did. kad-dht is one.
type Finder interface {
	FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error)
}

// Defaults of a Config.
const (
	// DefaultKeep is how many members a host stays connected to: all of a grid that is small enough to ask everybody.
	DefaultKeep = 80
	// DefaultHelloEvery is how often two members greet each other.
	DefaultHelloEvery = 15 * time.Second
	// DefaultAnswerWithin is how long a member may take to answer before it counts as unresponsive.
	DefaultAnswerWithin = 3 * time.Second
	// DefaultDialTimeout bounds connecting to a member and opening a stream to it.
	DefaultDialTimeout = 5 * time.Second
	// DefaultRetryMax bounds the pause between two attempts to reach a member.
	DefaultRetryMax = 10 * time.Minute
	// DefaultStrangerFor is how long a peer that is not a member may stay, to become one or to learn why not.
	DefaultStrangerFor = 10 * time.Second
)

// Config describes a host. Key and Grid are required; every other zero value means the default.
type Config struct {
	// Key is the identity of the node (LoadOrCreateKey).
	Key crypto.PrivKey
	// Grid is the short id of the grid, part of every protocol id: 1 to 64 letters, digits and dashes.
	Grid string
	// Listen are the multiaddrs to listen on; ListenAddresses(0), a free port, when empty.
	Listen []string
	// Gate admits members; nil admits everybody.
	Gate Gate
	// Present shows this node's credentials on a stream of PresentName to a member that does not admit it yet, and returns
	// nil when that member admits it from then on. It is called before the peers greet each other, for members that this
	// node's own gate admits, and nobody else. Open grids need none.
	Present func(ctx context.Context, s Stream) error
	// Bootstrap are full multiaddrs (with /p2p/ID) of members to meet first.
	Bootstrap []string
	// Book is the path of the file that remembers members across restarts; none when empty.
	Book string
	// Self returns what to tell the others about this node; Peers is filled in by the host.
	Self func() wire.Hello
	// MDNS says that members on the local network are looked for (by package discovery).
	MDNS bool
	// Logger receives what happens; nothing is logged when nil.
	Logger *slog.Logger

	// NoTraversal switches off port mapping, reachability checks, hole punching and relays. They are off in any
	// case when every listen address is on the loopback interface.
	NoTraversal bool
	// NoRelay refuses to pass on traffic between members that cannot reach each other directly.
	NoRelay bool
	// NoGossip keeps from members what this node knows of the others.
	NoGossip bool

	// Keep is how many members the host stays connected to. In a larger grid it wants half as many, by chance, and has up to half
	// as many more, or 16 more where that is less, of members that want to be connected to it.
	Keep         int
	HelloEvery   time.Duration
	AnswerWithin time.Duration
	DialTimeout  time.Duration
	RetryMax     time.Duration
	// StrangerFor is how long a peer that the gate refuses may stay connected.
	StrangerFor time.Duration

	// Libp2p are further options of the library, for instance a network in memory.
	Libp2p []libp2p.Option
}

var gridPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// prepare checks the configuration and fills in the defaults.
func (c Config) prepare() (Config, error) {
	if c.Key == nil {
		return c, errors.New("no identity key is set")
	}
	if !gridPattern.MatchString(c.Grid) {
		return c, fmt.Errorf("grid id %.80q: want 1 to 64 letters, digits and dashes", c.Grid)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Self == nil {
		c.Self = func() wire.Hello { return wire.Hello{} }
	}
	if len(c.Listen) == 0 {
		c.Listen = ListenAddresses(0)
	}
	for _, text := range c.Listen {
		if _, err := multiaddr.NewMultiaddr(text); err != nil {
			return c, fmt.Errorf("listen on %.80q: %w", text, err)
		}
	}
	c.Keep = orDefault(c.Keep, DefaultKeep)
	c.HelloEvery = orDefault(c.HelloEvery, DefaultHelloEvery)
	c.AnswerWithin = orDefault(c.AnswerWithin, DefaultAnswerWithin)
	c.DialTimeout = orDefault(c.DialTimeout, DefaultDialTimeout)
	c.RetryMax = orDefault(c.RetryMax, DefaultRetryMax)
	c.StrangerFor = orDefault(c.StrangerFor, DefaultStrangerFor)
	return c, nil
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}

// traversal reports whether the host has anything to gain from getting through NATs.
func (c Config) traversal() bool { return !c.NoTraversal && !onlyLoopback(c.Listen) }

func onlyLoopback(addresses []string) bool {
	return !slices.ContainsFunc(addresses, func(text string) bool {
		a, err := multiaddr.NewMultiaddr(text)
		return err != nil || !manet.IsIPLoopback(a)
	})
}
