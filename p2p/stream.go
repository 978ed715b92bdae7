package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"cairn/internal/awake"
	"cairn/share"
)

// Handle serves the protocol "/cairn/<grid>/<name>", for instance "ask/1". Peers that the gate refuses never reach the
// handler: their streams are reset with network.StreamGated. The handler runs in a goroutine of its own, owns the stream
// and must return when reading or writing fails; Close waits for it.
func (h *Host) Handle(name string, handler func(network.Stream)) {
	h.gated.SetStreamHandler(h.protocol(name), func(s network.Stream) {
		if err := s.Scope().SetService(serviceName(name)); err != nil {
			s.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		handler(h.watched(s))
	})
}

// Stream opens a stream to a member, connecting first when there is no connection. It takes at most the dial timeout,
// whatever state the peer is in, and no time for a peer that was lost or
// could not be reached in the last seconds. A peer that parted with this host because it has too many connections is
// connected to anew. The error wraps share.ErrUnavailable when the peer cannot be reached in time,
// share.ErrVersion when it does not speak the protocol, share.ErrDenied when this node's gate refuses it. The context
// governs opening only; deadlines on the stream are the caller's. That the peer refuses or is overloaded shows at the
// first read or write: see Reason.
func (h *Host) Stream(ctx context.Context, id share.ServerID, name string) (network.Stream, error) {
	s, err := h.openStream(ctx, id, name)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", name, id.Short(), err)
	}
	return s, nil
}

func (h *Host) openStream(ctx context.Context, id share.ServerID, name string) (network.Stream, error) {
	to, err := peer.Decode(string(id))
	if err != nil {
		return nil, fmt.Errorf("%w: not a peer id: %v", share.ErrUnavailable, err)
	}
	if err := h.gater.admit(to); err != nil {
		return nil, denied(err)
	}
	if h.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", share.ErrUnavailable, share.ErrClosed)
	}
	ctx, cancel := awake.WithTimeout(ctx, h.cfg.DialTimeout)
	defer cancel()
	parted := h.host.Network().Connectedness(to) == network.NotConnected
	s, err := h.connectedStream(ctx, to, name)
	if err != nil && !parted && ctx.Err() == nil && h.host.Network().Connectedness(to) == network.NotConnected {
		s, err = h.connectedStream(ctx, to, name) // the peer parted with us at this moment
	}
	if err != nil {
		return nil, err
	}
	if err := s.Scope().SetService(serviceName(name)); err != nil {
		s.Reset()
		return nil, fmt.Errorf("%w: %v", share.ErrBusy, err)
	}
	return h.watched(s), nil
}

// connectedStream opens a stream over the connection to a peer, or a new one where there is none.
func (h *Host) connectedStream(ctx context.Context, to peer.ID, name string) (network.Stream, error) {
	dial := h.host.Network().Connectedness(to) == network.NotConnected
	if dial {
		if h.members.unreachable(to, time.Now()) {
			return nil, fmt.Errorf("%w: it was lost or could not be reached a moment ago", share.ErrUnavailable)
		}
		h.offerAddresses(to)
	}
	s, err := h.host.NewStream(network.WithAllowLimitedConn(ctx, "cairn"), to, h.protocol(name))
	if err != nil && dial && (ctx.Err() == nil || awake.Over(ctx)) {
		h.members.missed(to, time.Now())
	}
	return s, Reason(dialReason(err))
}

// A watchedStream notes when bytes come from the peer, so that one that is busy sending is not taken for hung, and when
// bytes go either way, so that the connection is kept.
type watchedStream struct {
	network.Stream
	host    *Host
	active  *atomic.Int64
	carried *atomic.Int64 // nil where that does not matter
	relayed *relayedConn  // nil on a direct connection
}

func (h *Host) watched(s network.Stream) network.Stream {
	s = honestStream{s}
	active := h.members.activity(s.Conn().RemotePeer())
	if active == nil {
		return s
	}
	return &watchedStream{Stream: s, host: h, active: active, carried: h.inUse(s), relayed: h.paths.use(s.Conn())}
}

func (w *watchedStream) Read(p []byte) (int, error) {
	n, err := w.Stream.Read(p)
	if n > 0 {
		w.active.Store(w.used())
	}
	return n, err
}

func (w *watchedStream) Write(p []byte) (int, error) {
	n, err := w.Stream.Write(p)
	if n > 0 {
		w.used()
	}
	return n, err
}

// An honestStream says that a stream has ended only where the peer has ended it. go-yamux answers a read that got bytes
// with io.EOF as well when the connection is lost before they are acknowledged; the read after that one tells what
// happened. A true end is told again by every read.
type honestStream struct{ network.Stream }

func (s honestStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// used notes and returns the present.
func (w *watchedStream) used() int64 {
	now := time.Now().UnixNano()
	if w.carried != nil {
		w.carried.Store(now)
	}
	if w.relayed != nil {
		w.relayed.used.Store(now)
	}
	return now
}

// Outdated reports whether a stream that is opened now would go a better way, because the relayed connection of this
// one has been replaced by a direct one. Who keeps streams for later opens a new one instead.
func (w *watchedStream) Outdated() bool {
	if w.relayed == nil {
		return false
	}
	path, _ := w.host.pathTo(w.Conn().RemotePeer())
	return path == Direct || path == Punched
}

// ErrNotAdmitted wraps share.ErrDenied and says that it was the peer who refused.
var ErrNotAdmitted = fmt.Errorf("%w: the peer does not admit this node", share.ErrDenied)

// denied returns err as one that wraps share.ErrDenied, without saying that twice.
func denied(err error) error {
	if errors.Is(err, share.ErrDenied) {
		return err
	}
	return fmt.Errorf("%w: %w", share.ErrDenied, err)
}

// Reason returns err wrapped with the sentinel error of package share that says what happened on a stream: ErrDenied when
// the peer refuses us, ErrBusy when it has no room for more streams, ErrVersion when it does not speak the protocol, and
// ErrUnavailable for everything else. An error that wraps one of these already is returned as it is.
func Reason(err error) error {
	if err == nil {
		return nil
	}
	for _, sentinel := range []error{share.ErrDenied, share.ErrBusy, share.ErrVersion, share.ErrUnavailable} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	if reset, ok := errors.AsType[*network.StreamError](err); ok && reset.Remote {
		switch reset.ErrorCode {
		case network.StreamGated:
			return fmt.Errorf("%w: %w", ErrNotAdmitted, err)
		case network.StreamResourceLimitExceeded, network.StreamRateLimited:
			return fmt.Errorf("%w: %w", share.ErrBusy, err)
		}
	}
	if errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}) {
		return fmt.Errorf("%w: %w", share.ErrVersion, err)
	}
	return fmt.Errorf("%w: %w", share.ErrUnavailable, err)
}

func (h *Host) protocol(name string) protocol.ID { return h.prefix + protocol.ID("/"+name) }

func serviceName(name string) string { return "cairn." + name }
