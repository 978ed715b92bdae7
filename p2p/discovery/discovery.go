// Package discovery finds members and shares through the grid's DHT and the local network.
//
// The DHT runs under the grid's own protocol prefix and refuses whoever the host's gate refuses. It answers where a member
// listens now, and walking through it meets members nobody told us of. In grids too large to ask everybody it also keeps
// records of which servers hold shares of a file, one per storage index. Under namespaces that the caller judges it keeps
// small values, of which the newest valid one counts. Nothing here is waited for longer than a few seconds.
package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"cairn/internal/awake"
	"cairn/p2p"
	"cairn/share"
)

// Defaults of a Config.
const (
	// DefaultAskAllUpTo is the number of members up to which shares are looked for by asking everybody.
	DefaultAskAllUpTo = 64
	// DefaultWithin bounds one lookup.
	DefaultWithin = 5 * time.Second
	// DefaultAnnounceEvery is the time in which everything is announced again.
	DefaultAnnounceEvery = 22 * time.Hour
	// DefaultRepublishEvery is the pause after which a value is published again.
	DefaultRepublishEvery = 12 * time.Hour
	// DefaultWalkEvery is how often the DHT is walked for members nobody told of.
	DefaultWalkEvery = 10 * time.Minute
	// MaxProviders bounds how many servers one lookup of a file returns.
	MaxProviders = 64
)

// refreshWalks is how many walks pass before each part of the routing table is looked through: a lookup per part, ten and
// more in large grids, each of which meets members that this node is not connected to.
const refreshWalks = 6

// bootstrapContacts is how many connected members fill an empty routing table.
const bootstrapContacts = 20

// Config describes what a node contributes to and wants from discovery. The zero value suits a gateway in a small grid.
type Config struct {
	// Serve answers DHT queries of others. Nodes that stay up, storage servers above all, set it.
	Serve bool
	// Providers keeps and looks up records of who holds which file. All nodes of a grid that grows beyond AskAllUpTo
	// set it.
	Providers bool
	// AskAllUpTo is the number of members up to which Find returns all of them and asks nobody.
	AskAllUpTo int
	// AnnounceEvery is the time in which everything is announced again. Records of it are believed for two days.
	AnnounceEvery time.Duration
	// MaxRecords is how many records of others this node keeps.
	MaxRecords int
	// Values are the namespaces under which the grid keeps small signed values, with who judges them. Without any, the
	// DHT stores none. All nodes of a grid have the same.
	Values map[string]Validator
	// RepublishEvery is how often a value that this node put is published again.
	RepublishEvery time.Duration
	// Within bounds one lookup.
	Within time.Duration
	// WalkEvery is the pause between two walks.
	WalkEvery time.Duration
	// Logger receives what happens; nothing is logged when nil.
	Logger *slog.Logger
}

func (c Config) prepare() Config {
	if c.AskAllUpTo <= 0 {
		c.AskAllUpTo = DefaultAskAllUpTo
	}
	if c.Within <= 0 {
		c.Within = DefaultWithin
	}
	if c.AnnounceEvery <= 0 {
		c.AnnounceEvery = DefaultAnnounceEvery
	}
	if c.MaxRecords <= 0 {
		c.MaxRecords = DefaultMaxRecords
	}
	if c.RepublishEvery <= 0 {
		c.RepublishEvery = DefaultRepublishEvery
	}
	if c.WalkEvery <= 0 {
		c.WalkEvery = DefaultWalkEvery
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Discovery belongs to one p2p.Host. It is safe for concurrent use.
type Discovery struct {
	cfg  Config
	log  *slog.Logger
	host *p2p.Host
	dht  *dht.IpfsDHT

	announcer *announcer // nil without Providers
	records   *records   // of others; nil without Providers

	lookups, given, givenSize atomic.Int64
	judge                     judge // of the values in the DHT
	published                 published

	ctx    context.Context // ends when the Discovery is closed
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	once   sync.Once
	closed error
}

// New starts discovery for the host: it joins the DHT through the members the host is connected to, and looks on the local
// network when the host wants that. From then on the host asks it for the addresses of members that cannot be reached.
func New(h *p2p.Host, cfg Config) (*Discovery, error) {
	cfg = cfg.prepare()
	if err := checkNamespaces(cfg.Values); err != nil {
		return nil, fmt.Errorf("start DHT: %w", err)
	}
	d := &Discovery{cfg: cfg, log: cfg.Logger, host: h, judge: cfg.Values, published: published{values: map[string]*publication{}}}
	var err error
	if d.dht, err = dht.New(h.Libp2p(), d.options()...); err != nil {
		return nil, fmt.Errorf("start DHT: %w", err)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.start()
	return d, nil
}

// start begins what is done in the background.
func (d *Discovery) start() {
	d.host.SetFinder(d)
	d.tasks.Go(func() { d.walk(d.ctx) })
	if d.cfg.Providers {
		d.announcer, d.records = newAnnouncer(d), newRecords(d.cfg.MaxRecords, time.Now())
		d.host.Handle(provideName, d.serveRecords)
		d.tasks.Go(func() { d.announcer.run(d.ctx) })
		d.tasks.Go(func() { d.expireRecords(d.ctx) })
	}
	if len(d.cfg.Values) > 0 {
		d.tasks.Go(func() { d.republish(d.ctx) })
	}
	if d.host.MDNS() {
		d.tasks.Go(func() { d.lookAround(d.ctx) })
	}
}

func (d *Discovery) options() []dht.Option {
	mode := dht.ModeClient
	if d.cfg.Serve {
		mode = dht.ModeServer
	}
	options := []dht.Option{
		dht.ProtocolPrefix(protocol.ID("/cairn/" + d.host.Grid())),
		dht.Mode(mode),
		dht.DisableProviders(),
		dht.AddressFilter(d.usable),
		dht.BootstrapPeersFunc(func() []peer.AddrInfo { return d.host.Contacts(bootstrapContacts) }),
		dht.QueryFilter(func(_ any, info peer.AddrInfo) bool { return d.worthAsking(info.ID) }),
		dht.RoutingTableFilter(func(_ any, id peer.ID) bool { return d.host.Admit(id) == nil }),
		dht.DisableAutoRefresh(), // see walk
		dht.RoutingTableRefreshQueryTimeout(d.cfg.Within),
		dht.RoutingTableRefreshPeriod(refreshWalks * d.cfg.WalkEvery),
	}
	if len(d.cfg.Values) > 0 {
		options = append(options, dht.Validator(d.judge), dht.ValueDatastore(newValueStore(MaxValues)), dht.MaxRecordAge(valueAge))
	} else {
		options = append(options, dht.DisableValues())
	}
	return options
}

// worthAsking leaves out peers that are not admitted and those that are connected but hung: a lookup waits ten seconds for
// each of these.
func (d *Discovery) worthAsking(id peer.ID) bool {
	if d.host.Admit(id) != nil {
		return false
	}
	p, known := d.host.Peer(share.ServerID(id.String()))
	return !known || p.Problem == "" && (p.Path == "" || p.Responsive || p.LastSeen.IsZero())
}

// usable drops loopback addresses unless the grid lives on one machine.
func (d *Discovery) usable(addresses []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if d.host.OnlyLoopback() {
		return addresses
	}
	return multiaddr.FilterAddrs(addresses, func(a multiaddr.Multiaddr) bool { return !manet.IsIPLoopback(a) })
}

// FindPeer asks the DHT where a member listens now.
func (d *Discovery) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	ctx, cancel := awake.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	info, err := d.dht.FindPeer(ctx, id)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("find peer %s: %w: %v", share.ServerID(id.String()).Short(), share.ErrNotFound, err)
	}
	return peer.AddrInfo{ID: id, Addrs: d.usable(info.Addrs)}, nil
}

// Stats are what discovery keeps, and what it sent since it was started.
type Stats struct {
	Known     int   // members in the DHT's routing table
	Announced int   // files this node announces
	Records   int   // records of others it keeps
	Lookups   int64 // regions and files looked for
	Given     int64 // messages that gave others records
	GivenSize int64 // their bytes
}

// Stats returns how much there is to do.
func (d *Discovery) Stats() Stats {
	s := Stats{Known: d.Known(), Lookups: d.lookups.Load(), Given: d.given.Load(), GivenSize: d.givenSize.Load()}
	if d.announcer != nil {
		s.Announced, s.Records = d.announcer.size(), d.records.size()
	}
	return s
}

// Known returns how many peers the DHT's routing table holds.
func (d *Discovery) Known() int { return d.dht.RoutingTable().Size() }

// Close stops everything. The host is closed before, so that no query of another node is still being answered.
func (d *Discovery) Close() error {
	d.once.Do(func() {
		d.cancel()
		d.tasks.Wait()
		d.closed = d.dht.Close()
	})
	if d.closed != nil {
		return fmt.Errorf("stop discovery: %w", d.closed)
	}
	return nil
}
