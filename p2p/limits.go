package p2p

import (
	"fmt"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Limits of what peers can take from a host (docs/network.md, "Limits").
const (
	// peerStreams bounds the streams of one peer, peerProtocolStreams those of one peer in one protocol.
	peerStreams         = 2048
	peerProtocolStreams = 512
	// What receive windows may reserve: 16 MiB for a busy stream, 256 KiB for an idle one. To each bound a part of the
	// machine's memory is added, a quarter for all peers together, a sixteenth for one.
	peerMemory = 192 << 20
	allMemory  = 256 << 20
	allStreams = 32 << 10
	allConns   = 1024
	peerConns  = 8
	// addressConns bounds the connections from one address: a family behind one NAT, or a grid on one machine.
	addressConns = 256
	helloStreams = 8
)

// resourceManager returns the manager that keeps the limits. They count reservations, not use: a window takes memory only
// while bytes wait in it.
func resourceManager(hello protocol.ID) (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	limits.SystemBaseLimit = rcmgr.BaseLimit{
		ConnsInbound: allConns, ConnsOutbound: allConns, Conns: allConns,
		StreamsInbound: allStreams, StreamsOutbound: allStreams, Streams: allStreams,
		Memory: allMemory, FD: allConns,
	}
	limits.SystemLimitIncrease.Memory = 2 << 30 // per GiB of an eighth of the machine's memory
	limits.PeerLimitIncrease.Memory = 512 << 20
	limits.TransientBaseLimit.ConnsInbound = 256
	limits.TransientBaseLimit.ConnsOutbound = 256
	limits.TransientBaseLimit.Conns = 256
	limits.TransientBaseLimit.StreamsInbound = peerStreams
	limits.TransientBaseLimit.StreamsOutbound = peerStreams
	limits.TransientBaseLimit.Streams = peerStreams
	limits.TransientBaseLimit.Memory = 128 << 20
	limits.PeerBaseLimit = streamLimit(peerStreams, peerMemory)
	limits.PeerBaseLimit.ConnsInbound = peerConns
	limits.PeerBaseLimit.ConnsOutbound = peerConns
	limits.PeerBaseLimit.Conns = peerConns
	limits.PeerBaseLimit.FD = peerConns
	limits.ProtocolBaseLimit = streamLimit(allStreams, allMemory)
	limits.ServiceBaseLimit = streamLimit(allStreams, allMemory)
	limits.ProtocolPeerBaseLimit = streamLimit(peerProtocolStreams, peerMemory)
	limits.ServicePeerBaseLimit = streamLimit(peerProtocolStreams, peerMemory)
	limits.AddProtocolPeerLimit(hello, streamLimit(helloStreams, 16<<20), rcmgr.BaseLimitIncrease{})
	limits.AddServicePeerLimit(serviceName(helloName), streamLimit(helloStreams, 16<<20), rcmgr.BaseLimitIncrease{})
	limits.AddServiceLimit(relay.ServiceName, streamLimit(512, 128<<20), rcmgr.BaseLimitIncrease{})
	limits.AddServicePeerLimit(relay.ServiceName, streamLimit(64, 16<<20), rcmgr.BaseLimitIncrease{})
	limits.AddServiceLimit(strangerService, streamLimit(4*strangersAtOnce, 16<<20), rcmgr.BaseLimitIncrease{})
	limits.AddServicePeerLimit(strangerService, streamLimit(4, 2<<20), rcmgr.BaseLimitIncrease{})
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: addressConns}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: addressConns}, {PrefixLength: 48, ConnCount: 2 * addressConns}}),
		rcmgr.WithConnRateLimiters(connectionRate()))
	if err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	return manager, nil
}

func streamLimit(streams int, memory int64) rcmgr.BaseLimit {
	return rcmgr.BaseLimit{StreamsInbound: streams, StreamsOutbound: streams, Streams: streams, Memory: memory}
}

// connectionRate bounds how fast one address may open connections. The library's own bound, one every five seconds, is
// less than a household or a grid on one machine needs when everything restarts.
func connectionRate() *rate.Limiter {
	limit := rate.Limit{RPS: 8, Burst: addressConns}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: limit}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: limit}},
		},
	}
}
