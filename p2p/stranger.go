package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
	"cairn/share"
)

// PresentName is the protocol "/cairn/present/1" on which a member that a peer does not know shows its credentials.
const PresentName = "present/1"

const (
	// presentWithin bounds showing credentials.
	presentWithin = 5 * time.Second
	// showAgain is how often credentials are shown again to a peer that has not answered.
	showAgain = 3
	// firstWord is how long a peer that was admitted while it was connected is left to greet first. One that only came to be
	// admitted, and knew nothing of the grid before, leaves and comes back.
	firstWord = 2 * time.Second
	// strangerService bounds what all strangers together take.
	strangerService = "cairn.stranger"
)

// A Stream is a stream of libp2p, for packages that speak on one and do not own a host.
type Stream = network.Stream

// HandleStranger serves the protocol "/cairn/<name>", which does not name the grid, to peers that the gate refuses, too.
// At most 16 such peers are connected at a time, for ten seconds each, a few from one address. The stream has a deadline at
// the end of that time. The handler runs in a goroutine of its own, owns the stream and must return when reading or writing
// fails; Close waits for it. As soon as it returns, the gate is asked about the peer again: one that is a member by
// then stays connected and is greeted.
func (h *Host) HandleStranger(name string, handler func(network.Stream)) {
	h.strangersServed.Store(true)
	h.host.SetStreamHandler(strangerProtocol(name), func(s network.Stream) {
		id, now := s.Conn().RemotePeer(), time.Now()
		if h.gater.admit(id) != nil && !h.gater.strangers.pending(id, now) {
			s.ResetWithError(network.StreamGated)
			return
		}
		if !h.gated.enter() {
			s.ResetWithError(network.StreamShutdown)
			return
		}
		defer h.gated.running.Done()
		if err := s.Scope().SetService(strangerService); err != nil {
			s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		s.SetDeadline(now.Add(h.cfg.StrangerFor))
		handler(honestStream{s})
		h.attention(id)
	})
}

// Reach opens a stream of a protocol of HandleStranger to a peer that need not be a member. The addresses are full
// multiaddrs of one peer; those through a relay reach the relay first. The connection ends with the stream, unless the
// gate admits the peer by then. Opening takes at most twice the dial timeout. The error wraps what Stream's does.
func (h *Host) Reach(ctx context.Context, addresses []string, name string) (network.Stream, share.ServerID, error) {
	info, relays, err := parseTarget(addresses)
	if err != nil {
		return nil, "", fmt.Errorf("reach: %w", err)
	}
	s, err := h.goTo(ctx, info, relays, name)
	if err != nil {
		return nil, "", fmt.Errorf("open %s to %s: %w", name, serverID(info.ID).Short(), err)
	}
	return s, serverID(info.ID), nil
}

func (h *Host) goTo(ctx context.Context, info peer.AddrInfo, relays []peer.ID, name string) (network.Stream, error) {
	if h.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", share.ErrUnavailable, share.ErrClosed)
	}
	ctx, cancel := awake.WithTimeout(ctx, 2*h.cfg.DialTimeout) // through a relay it is two connections
	defer cancel()
	ids := append([]peer.ID{info.ID}, relays...)
	release := h.gater.strangers.want(ids)
	let := func() {
		release()
		for _, id := range ids {
			h.attention(id)
		}
	}
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		for _, id := range ids {
			s.Backoff().Clear(id)
		}
	}
	h.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.TempAddrTTL)
	if err := h.host.Connect(network.WithAllowLimitedConn(ctx, "cairn"), info); err != nil {
		let()
		return nil, dialReason(err)
	}
	s, err := h.host.NewStream(network.WithAllowLimitedConn(ctx, "cairn"), info.ID, strangerProtocol(name))
	if err != nil {
		let()
		return nil, Reason(err)
	}
	return &reachedStream{Stream: honestStream{s}, let: let}, nil
}

// A reachedStream lets go of the connection when it is closed.
type reachedStream struct {
	network.Stream
	let func()
}

func (s *reachedStream) Close() error {
	defer s.let()
	return s.Stream.Close()
}

func (s *reachedStream) Reset() error {
	defer s.let()
	return s.Stream.Reset()
}

func (s *reachedStream) ResetWithError(code network.StreamErrorCode) error {
	defer s.let()
	return s.Stream.ResetWithError(code)
}

// parseTarget returns the one peer that the addresses lead to, and the relays on the way.
func parseTarget(addresses []string) (info peer.AddrInfo, relays []peer.ID, err error) {
	for _, text := range addresses {
		one, err := peer.AddrInfoFromString(text)
		if err != nil {
			return peer.AddrInfo{}, nil, fmt.Errorf("address %.200q: %w", text, err)
		}
		if info.ID != "" && info.ID != one.ID {
			return peer.AddrInfo{}, nil, errors.New("the addresses are of different peers")
		}
		info.ID = one.ID
		info.Addrs = append(info.Addrs, one.Addrs...)
		for _, a := range one.Addrs {
			if relay := relayOf(a); relay != "" {
				relays = append(relays, relay)
			}
		}
	}
	if len(info.Addrs) == 0 {
		return peer.AddrInfo{}, nil, fmt.Errorf("%w: no address is known", share.ErrUnavailable)
	}
	return info, relays, nil
}

// relayOf returns the relay in front of /p2p-circuit, if there is one.
func relayOf(a multiaddr.Multiaddr) peer.ID {
	for i, c := range a {
		if i > 0 && c.Protocol().Code == multiaddr.P_CIRCUIT && a[i-1].Protocol().Code == multiaddr.P_P2P {
			return peer.ID(a[i-1].RawValue())
		}
	}
	return ""
}

// OpenStranger starts a host that belongs to no grid yet: it admits nobody, serves nothing and is for Reach alone. Whoever
// joined a grid closes it and opens a host of that grid with the same key.
func OpenStranger(ctx context.Context, cfg Config) (*Host, error) {
	cfg.Grid, cfg.Gate = "none", nobody{}
	cfg.Listen, cfg.Bootstrap, cfg.Book, cfg.MDNS, cfg.NoRelay = LoopbackAddresses(0), nil, "", false, true
	return Open(ctx, cfg)
}

type nobody struct{}

func (nobody) Admit(share.ServerID) error {
	return fmt.Errorf("%w: this node belongs to no grid yet", share.ErrDenied)
}

// acquaint returns nil once the peer and this node have greeted each other. A peer that the gate refuses has its time to
// become a member first; a peer that does not admit this node is shown its credentials.
func (h *Host) acquaint(ctx context.Context, id peer.ID, asked <-chan struct{}) error {
	err := h.gater.admit(id)
	for err != nil {
		until, _ := h.gater.strangers.stays(id, time.Now())
		if until.IsZero() || !h.strangersServed.Load() && !h.gater.strangers.wanted(id) || ctx.Err() != nil {
			return denied(err)
		}
		sleep(ctx, time.Until(until), asked)
		err = h.gater.admit(id)
	}
	if h.gater.strangers.gone(id) {
		h.reconsider(id)
		sleep(ctx, firstWord, nil)
	}
	err = h.greet(ctx, id)
	if h.cfg.Present == nil || !errors.Is(err, share.ErrDenied) {
		return err
	}
	switch unknown := h.present(ctx, id); {
	case errors.Is(unknown, share.ErrUnavailable):
		return fmt.Errorf("%w: %w: %w", ErrNotAdmitted, errUnanswered, unknown)
	case unknown != nil:
		return fmt.Errorf("%w: %s", ErrNotAdmitted, strings.TrimPrefix(unknown.Error(), share.ErrDenied.Error()+": "))
	}
	return h.greet(ctx, id)
}

// errUnanswered says that a peer did not say what it thinks of this node's credentials: the connection was lost, or one of both
// machines stood still.
var errUnanswered = errors.New("no answer to this node's credentials")

// reconsider has the protocols of the library look at a connected peer again that they passed over while it was a stranger; the
// DHT takes it into its routing table.
func (h *Host) reconsider(id peer.ID) {
	emitter, err := h.host.EventBus().Emitter(new(event.EvtPeerProtocolsUpdated))
	if err == nil {
		err = errors.Join(emitter.Emit(event.EvtPeerProtocolsUpdated{Peer: id}), emitter.Close())
	}
	if err != nil {
		h.log.Debug("the DHT does not hear of a new member", "peer", serverID(id).Short(), "error", err)
	}
}

// present shows a member that does not admit this node its credentials.
func (h *Host) present(ctx context.Context, id peer.ID) error {
	ctx, cancel := awake.WithTimeout(ctx, presentWithin)
	defer cancel()
	s, err := h.host.NewStream(network.WithAllowLimitedConn(network.WithNoDial(ctx, "present"), "present"), id,
		strangerProtocol(PresentName))
	if err != nil {
		return Reason(err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	return h.cfg.Present(ctx, s)
}

// attention makes whoever attends to a connected peer look at it again.
func (h *Host) attention(id peer.ID) {
	h.members.with(id, func(m *member) {
		select {
		case m.greet <- struct{}{}:
		default:
		}
	})
}

func strangerProtocol(name string) protocol.ID { return protocol.ID("/cairn/" + name) }
