package p2p

import (
	"log/slog"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
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

func (h *Host) options() ([]libp2p.Option, error) {
	resources, err := resourceManager(h.protocol(helloName))
	if err != nil {
		return nil, err
	}
	connections, err := newConnManager(h.cfg.Keep)
	if err != nil {
		return nil, err
	}
	tcpOptions := []any{tcp.WithConnectionTimeout(h.cfg.DialTimeout)}
	if h.cfg.traversal() {
		tcpOptions = append(tcpOptions, tcp.WithDialerForAddr(func(multiaddr.Multiaddr) (tcp.ContextDialer, error) { return h.ports, nil }))
	} else {
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
		libp2p.SwarmOpts(swarm.WithDialRanker(h.ports.rank),
			swarm.WithDialTimeout(h.cfg.DialTimeout), swarm.WithDialTimeoutLocal(h.cfg.DialTimeout)),
		libp2p.ConnectionGater(h.gater),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(connections),
		libp2p.EnableRelay(),
		libp2p.NoListenAddrs, // Open listens once the hello is served
		libp2p.DisableMetrics(),
		// After some failed dials the library would take UDP, or IPv6, for blocked and try it no more. In a small grid of
		// machines that are often off, or after an outage, that is wrong.
		libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil),
	}
	options = append(options, h.cfg.Libp2p...)
	if !onlyLoopback(h.cfg.Listen) {
		options = append(options, libp2p.AddrsFactory(h.interfaces.announce))
	}
	if !h.cfg.traversal() {
		return append(options, libp2p.DisableIdentifyAddressDiscovery()), nil
	}
	return append(options,
		libp2p.NATManager(h.router.start), libp2p.EnableNATService(), libp2p.EnableAutoNATv2(),
		// Asking for candidates costs nothing.
		libp2p.EnableAutoRelayWithPeerSource(h.relays, autorelay.WithMinInterval(5*time.Second), autorelay.WithNumRelays(2),
			autorelay.WithMinCandidates(1), autorelay.WithBootDelay(time.Second), autorelay.WithBackoff(4*time.Second))), nil
}
