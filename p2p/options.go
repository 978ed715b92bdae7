package p2p

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// One member's word on our public address has to be enough: the library's default of four observers leaves a node of a
// small grid without any.
func init() { observedaddrs.ActivationThresh = 1 }

// The libraries' own logs are for who works on this package, and asks for them through the variable they read themselves.
// Their standing warning about the size of UDP buffers tells a user nothing either.
func init() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
}

// relayBuffer is the copy buffer of a relayed connection: 64 KiB moves half again as much as the default of 2 KiB.
const relayBuffer = 64 << 10

func (h *Host) options() ([]libp2p.Option, error) {
	resources, err := resourceManager(h.protocol(helloName))
	if err != nil {
		return nil, err
	}
	connections, err := connmgr.NewConnManager(h.cfg.Keep+56, h.cfg.Keep+184, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, err
	}
	tcpOptions := []any{tcp.WithConnectionTimeout(h.cfg.DialTimeout)}
	if !h.cfg.traversal() {
		tcpOptions = append(tcpOptions, tcp.DisableReuseport())
	}
	options := []libp2p.Option{
		libp2p.Identity(h.cfg.Key),
		libp2p.UserAgent("cairn"),
		libp2p.Transport(tcp.NewTCPTransport, tcpOptions...),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(tls.ID, tls.New), // half again as fast as Noise
		libp2p.Security(noise.ID, noise.New),
		libp2p.DefaultMuxers, // yamux with 16 MiB windows
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials),
			swarm.WithDialTimeout(h.cfg.DialTimeout), swarm.WithDialTimeoutLocal(h.cfg.DialTimeout)),
		libp2p.ConnectionGater(h.gater),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(connections),
		libp2p.EnableRelay(),
		libp2p.NoListenAddrs, // Open listens once the hello is served
		libp2p.DisableMetrics(),
	}
	if !h.cfg.traversal() {
		return append(options, libp2p.DisableIdentifyAddressDiscovery()), nil
	}
	return append(options,
		libp2p.NATPortMap(), libp2p.EnableNATService(), libp2p.EnableAutoNATv2(), libp2p.EnableHolePunching(),
		libp2p.EnableAutoRelayWithPeerSource(h.relays, autorelay.WithMinInterval(time.Minute), autorelay.WithNumRelays(2),
			autorelay.WithMinCandidates(1), autorelay.WithBootDelay(5*time.Second), autorelay.WithBackoff(5*time.Minute))), nil
}

// relays offers connected members as relays.
func (h *Host) relays(ctx context.Context, count int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo, count)
	defer close(found)
	for _, m := range h.members.connected(count) {
		if path, _ := pathOf(h.host.Network().ConnsToPeer(m.ID)); path == Direct {
			found <- m
		}
	}
	return found
}

// serveRelay passes traffic on between members, without the library's limits of 128 KiB and two minutes.
func (h *Host) serveRelay() (*relay.Relay, error) {
	resources := relay.DefaultResources()
	resources.Limit = nil
	resources.BufferSize = relayBuffer
	resources.MaxReservationsPerIP = resources.MaxReservations
	return relay.New(h.host, relay.WithResources(resources), relay.WithACL(relayGate{h}))
}

// A relayGate lets members that have greeted us use the relay, nobody else.
type relayGate struct{ h *Host }

func (g relayGate) AllowReserve(id peer.ID, _ multiaddr.Multiaddr) bool { return g.h.member(id) }

func (g relayGate) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	return g.h.member(from) && g.h.member(to)
}

func (h *Host) member(id peer.ID) bool { return h.gater.admit(id) == nil && h.members.met(id) }

// pathOf says how a peer is reached, by the best of its connections, and over which transport.
func pathOf(conns []network.Conn) (path, transport string) {
	for _, c := range conns {
		if _, err := c.RemoteMultiaddr().ValueForProtocol(multiaddr.P_CIRCUIT); err == nil {
			if path == "" {
				path, transport = Relayed, "relay"
			}
			continue
		}
		if path != Direct || c.ConnState().Transport == "tcp" {
			path, transport = Direct, c.ConnState().Transport
		}
	}
	return path, transport
}
