package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"

	"cairn/share"
)

// closeWithin bounds how long Close waits for handlers that do not notice that their stream is gone.
const closeWithin = 10 * time.Second

// A Host is this node's place in the network of one grid. It is safe for concurrent use.
type Host struct {
	cfg     Config
	log     *slog.Logger
	prefix  protocol.ID
	gater   *gater
	host    host.Host
	gated   *gatedHost
	relay   *relay.Relay
	members *members
	events  events
	book    book
	finder  atomic.Pointer[Finder]

	paths      *paths
	ports      *ports
	sight      sight
	router     *router
	interfaces interfaces
	punch      *holepunch.Service
	spreading  atomic.Bool // members are being told of new addresses
	// strangersServed says that a protocol answers peers that the gate refuses.
	strangersServed atomic.Bool

	ctx    context.Context
	cancel context.CancelFunc
	// wake makes the dialler look again.
	wake chan struct{}

	mu      sync.Mutex
	closing bool // no further task starts
	tasks   sync.WaitGroup
}

// Open starts a host: it listens, and begins to connect to the members it remembers and to the bootstrap addresses. The
// context bounds the start only.
func Open(ctx context.Context, cfg Config) (*Host, error) {
	cfg, err := cfg.prepare()
	if err != nil {
		return nil, fmt.Errorf("start network: %w", err)
	}
	self, err := peer.IDFromPrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("start network: %w", err)
	}
	h := &Host{
		cfg: cfg, log: cfg.Logger, prefix: protocol.ID("/cairn/" + cfg.Grid), gater: newGater(cfg.Gate, cfg.StrangerFor),
		members: newMembers(self), wake: make(chan struct{}, 1), paths: newPaths(),
		router: newRouter(), book: book{path: cfg.Book, grid: cfg.Grid, log: cfg.Logger},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.ports = newPorts(h.ctx, h.start)
	if err := h.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("start network: %w", err), h.Close())
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("start network: %w", err), h.Close())
	}
	return h, nil
}

func (h *Host) open() error {
	options, err := h.options()
	if err != nil {
		return err
	}
	h.interfaces.look()
	if h.host, err = libp2p.New(options...); err != nil {
		return err
	}
	h.gated = &gatedHost{Host: h.host, admit: h.gater.admit}
	if !h.cfg.NoRelay {
		if h.relay, err = h.serveRelay(); err != nil {
			return err
		}
	}
	bus, err := subscribeBus(h.host)
	if err != nil {
		return err
	}
	h.interfaces.watch(h.host.Network())
	if h.cfg.traversal() {
		if h.punch, err = h.servePunch(); err != nil {
			return err
		}
	}
	h.start(func() { h.watchBus(bus) })
	h.host.Network().Notify(h.pathNotifee())
	h.Handle(helloName, h.serveHello)
	h.Handle(clockName, serveClock)
	h.host.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { h.welcome(c.RemotePeer()) },
		DisconnectedF: func(_ network.Network, c network.Conn) { h.parted(c.RemotePeer(), spared(c)) },
	})
	if err := h.listen(); err != nil {
		return err
	}
	h.ports.listening(h.host.Network().ListenAddresses())
	if h.cfg.traversal() {
		h.start(func() { h.router.run(h.ctx) })
		h.router.look()
		if err := h.seekRelays(); err != nil {
			return err
		}
	}
	h.recall()
	h.start(h.keepConnected)
	h.start(h.keepBook)
	h.start(h.tidy)
	h.start(h.watchClock)
	h.start(h.reviveSilent)
	return nil
}

// recall fills the table from the book and the configuration.
func (h *Host) recall() {
	now := time.Now()
	for _, m := range h.book.load() {
		m.nextDial, m.pending = h.members.courtesy(m.id, told, now), now
		h.members.restore(m)
	}
	h.learn(bootstrap, h.cfg.Bootstrap)
}

// ID returns the id by which the others know this node.
func (h *Host) ID() share.ServerID { return serverID(h.host.ID()) }

// Addresses returns the full multiaddrs, ending in /p2p/ID, at which this node believes it can be reached.
func (h *Host) Addresses() []string {
	var list []string
	for _, a := range h.host.Addrs() {
		list = append(list, a.String()+"/p2p/"+h.host.ID().String())
	}
	return list
}

// Peers returns the members this node knows, connected or not, and the peers that turned out not to be members (their
// Problem says why).
func (h *Host) Peers() []Peer {
	list, ids := h.members.known()
	for i, id := range ids {
		list[i].Path, list[i].Transport = h.pathTo(id)
	}
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// Peer returns what is known of one peer.
func (h *Host) Peer(id share.ServerID) (Peer, bool) {
	to, err := peer.Decode(string(id))
	if err != nil {
		return Peer{}, false
	}
	var p Peer
	known := h.members.with(to, func(m *member) { p = m.peer() })
	p.Path, p.Transport = h.pathTo(to)
	return p, known
}

// MDNS reports whether members on the local network are to be looked for.
func (h *Host) MDNS() bool { return h.cfg.MDNS }

// Grid returns the short id of the grid.
func (h *Host) Grid() string { return h.cfg.Grid }

// OnlyLoopback reports whether the host listens on loopback interfaces only.
func (h *Host) OnlyLoopback() bool { return onlyLoopback(h.cfg.Listen) }

// Libp2p returns the host for other protocols of the grid. Handlers set on it are closed to everyone the gate refuses.
func (h *Host) Libp2p() host.Host { return h.gated }

// Admit returns nil for a peer that may use the grid's protocols.
func (h *Host) Admit(id peer.ID) error { return h.gater.admit(id) }

// Contacts returns connected members with their addresses, at most limit of them.
func (h *Host) Contacts(limit int) []peer.AddrInfo { return h.members.connected(limit) }

// SetFinder gives the host a way to look up members that no longer answer at the addresses it knows.
func (h *Host) SetFinder(f Finder) { h.finder.Store(&f) }

// Recheck asks the gate about every peer again, parts with those it no longer admits at once, which ends every stream from
// and to them, and tries those again that were refused. It is called when membership changes.
func (h *Host) Recheck() {
	for _, id := range h.host.Network().Peers() {
		if until, _ := h.gater.strangers.stays(id, time.Now()); !until.IsZero() {
			h.attention(id)
			continue
		}
		if err := h.gater.admit(id); err != nil {
			h.refuse(id, err)
			h.host.Network().ClosePeer(id)
		}
	}
	h.members.retry(h.gater.admit, time.Now())
	h.kick()
}

// start runs f in a goroutine that Close waits for. It does nothing once the host is closing.
func (h *Host) start(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closing {
		h.tasks.Go(f)
	}
}

// Close parts from all peers and stops everything. A DHT that uses the host is closed after it.
func (h *Host) Close() error {
	h.mu.Lock()
	again := h.closing
	h.closing = true
	h.mu.Unlock()
	h.cancel()
	if again {
		h.tasks.Wait()
		return nil
	}
	err := h.closeHost()
	h.tasks.Wait()
	h.events.close()
	if err != nil {
		return fmt.Errorf("stop network: %w", err)
	}
	return nil
}

func (h *Host) closeHost() error {
	if h.host == nil {
		return nil
	}
	if h.gated != nil {
		h.gated.stop()
	}
	var errs []error
	if h.punch != nil {
		errs = append(errs, h.punch.Close())
	}
	if h.relay != nil {
		errs = append(errs, h.relay.Close())
	}
	errs = append(errs, h.host.Close())
	if h.gated != nil && !waitFor(&h.gated.running, closeWithin) {
		h.log.Warn("streams are still being served after the network stopped", "waited", closeWithin)
	}
	return errors.Join(errs...)
}

func waitFor(running *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
