package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"cairn/internal/awake"
	"cairn/p2p/wire"
	"cairn/share"
)

const (
	helloName = "hello/1"
	// helloPatience bounds one exchange. It is longer than the time after which a peer counts as unresponsive, so that
	// one that was stopped for a while is heard as soon as it goes on.
	helloPatience = 25 * time.Second
	// helloServe bounds serving one exchange.
	helloServe = 10 * time.Second
	// silentRetry is the pause before a peer that failed to answer is greeted again.
	silentRetry = time.Second
	// scaleAbove is the number of connected members above which they are greeted less often.
	scaleAbove = 64
	// keepTag protects connections to members from being trimmed.
	keepTag = "cairn"
	// partAfter is how long a connection to a peer that is not a member stays up, so that both sides learn why.
	partAfter = time.Second
)

// early are the pauses after the first hellos to a peer we dialled: whoever just arrived learns soon of those who arrived
// at the same time.
var early = [...]time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// welcome makes sure that somebody attends to a connected peer.
func (h *Host) welcome(id peer.ID) {
	ctx, leave := context.WithCancel(h.ctx)
	asked := h.members.connect(id, leave)
	if asked == nil {
		leave()
		if !h.members.attended(id) && h.gater.admit(id) != nil {
			h.start(func() { h.host.Network().ClosePeer(id) }) // the table is full, and nobody would watch the stranger
		}
		return
	}
	// Whoever has to go is chosen by chance: otherwise it would be the newcomers, every time.
	h.host.ConnManager().TagPeer(id, keepTag, 1+rand.N(1000))
	h.start(func() {
		defer leave()
		h.attend(ctx, id, asked)
	})
}

// Suspect has the host find out at once whether a peer still answers, because somebody waits for it in vain. It does not
// block; when the peer is hung, Peers says so after the time it has to answer.
func (h *Host) Suspect(id share.ServerID) {
	if to, err := peer.Decode(string(id)); err == nil {
		h.attention(to)
	}
}

// attend greets a connected peer again and again until the connection ends, or parts with it when it is not a member.
func (h *Host) attend(ctx context.Context, id peer.ID, asked <-chan struct{}) {
	strange, unanswered := 0, 0
	for count := 0; ctx.Err() == nil; count++ {
		err := h.acquaint(ctx, id, asked)
		pause := h.pause(id, count)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			strange, unanswered = 0, 0
		case errors.Is(err, share.ErrVersion) && strange == 0:
			// A peer that has just started may not serve its protocols yet.
			strange, pause = strange+1, silentRetry/2
		case errors.Is(err, errUnanswered) && (unanswered < showAgain || h.apart(id)):
			h.log.Debug("no answer to credentials", "peer", serverID(id).Short(), "error", err)
			if h.apart(id) {
				h.parted(id, false)
				return
			}
			unanswered, pause = unanswered+1, silentRetry
		case errors.Is(err, share.ErrVersion) || errors.Is(err, share.ErrDenied):
			h.part(ctx, id, err)
			return
		default:
			h.log.Debug("no answer to hello", "peer", serverID(id).Short(), "error", err)
			if h.apart(id) {
				h.parted(id, false) // whoever noted it as connected was late
				return
			}
			h.silent(id)
			pause = silentRetry
		}
		h.rest(ctx, id, pause, asked)
	}
}

func (h *Host) apart(id peer.ID) bool {
	return h.host.Network().Connectedness(id) == network.NotConnected
}

// rest waits until the peer has not been heard of for a while, or somebody asks: when it greets us meanwhile, both know all
// that our hello would tell.
func (h *Host) rest(ctx context.Context, id peer.ID, pause time.Duration, asked <-chan struct{}) {
	for wait := pause; wait > 0 && sleep(ctx, wait, asked); {
		wait = pause - time.Since(h.members.seen(id))
	}
}

func (h *Host) pause(id peer.ID, count int) time.Duration {
	if count < len(early) && h.reachedAt(h.host.Network().ConnsToPeer(id)) != nil {
		return early[count]
	}
	every := h.cfg.HelloEvery
	if n := len(h.host.Network().Peers()); n > scaleAbove {
		every = every * time.Duration(n) / scaleAbove
	}
	return every*3/4 + rand.N(every/2)
}

// sleep waits until the time is over, the context ends or somebody asks, and reports whether it was the first.
func sleep(ctx context.Context, d time.Duration, asked <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-asked:
		return false
	}
}

// greet exchanges hellos once, and reports the peer as unresponsive while the answer is late.
func (h *Host) greet(ctx context.Context, id peer.ID) error {
	ctx, cancel := awake.WithTimeout(ctx, helloPatience)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- h.exchange(ctx, id) }()
	late := awake.NewTimer(h.cfg.AnswerWithin)
	defer late.Stop()
	for {
		select {
		case err := <-answer:
			return err
		case <-late.C:
			// An answer may be late because the link is full; then other bytes come in.
			if quiet := h.members.quiet(id, time.Now()); quiet < h.cfg.AnswerWithin {
				late.Reset(h.cfg.AnswerWithin - quiet)
				continue
			}
			h.silent(id)
			h.members.settled(id)
		}
	}
}

func (h *Host) exchange(ctx context.Context, id peer.ID) error {
	ctx = network.WithAllowLimitedConn(network.WithNoDial(ctx, "hello"), "hello")
	s, err := h.host.NewStream(ctx, id, h.protocol(helloName))
	if err != nil {
		return h.strangeness(id, Reason(err))
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	if err := s.Scope().SetService(serviceName(helloName)); err != nil {
		return err
	}
	begin := time.Now()
	told, before := h.hello(id)
	if err := writeHello(s, told); err != nil {
		h.members.untell(id, before)
		return Reason(err)
	}
	hello, err := readHello(s)
	if err != nil {
		h.members.untell(id, before)
		return Reason(err)
	}
	conns := h.host.Network().ConnsToPeer(id)
	h.members.addresses(id, h.host.Peerstore().Addrs(id), h.reachedAt(conns))
	h.heard(id, hello, time.Since(begin))
	return nil
}

// serveHello answers the hello of a peer.
func (h *Host) serveHello(s network.Stream) {
	defer s.Close()
	id := s.Conn().RemotePeer()
	s.SetDeadline(time.Now().Add(helloServe))
	hello, err := readHello(s)
	if err != nil {
		h.log.Debug("hello not understood", "peer", serverID(id).Short(), "error", err)
		s.ResetWithError(network.StreamProtocolViolation)
		return
	}
	h.welcome(id)
	told, before := h.hello(id)
	if err := writeHello(s, told); err != nil {
		h.members.untell(id, before)
		s.Reset()
		return
	}
	h.heard(id, hello, 0)
}

// hello returns what we tell the peer, and what it had been told of the others before.
func (h *Host) hello(to peer.ID) (data []byte, before uint64) {
	hello := h.cfg.Self()
	hello.Nickname = wire.CleanNickname(hello.Nickname)
	hello.Peers = nil
	for limit := wire.MaxHelloPeers; ; limit /= 2 {
		if !h.cfg.NoGossip && limit > 0 {
			hello.Peers, before = h.members.tell(to, limit, time.Now())
		}
		data, err := hello.Marshal()
		if err == nil {
			return data, before
		}
		h.members.untell(to, before)
		if len(hello.Peers) == 0 {
			h.log.Error("this node cannot describe itself", "error", err)
			hello = wire.Hello{}
		}
		hello.Peers = nil
	}
}

// heard takes in what a peer told.
func (h *Host) heard(id peer.ID, hello wire.Hello, latency time.Duration) {
	p, change := h.members.heard(id, hello, latency, time.Now())
	if change != "" {
		h.report(change, id, p, "")
	}
	if err := h.gater.admit(id); err != nil { // it was refused while it said this, and is being parted from
		h.refuse(id, err)
		return
	}
	for _, told := range hello.Peers {
		h.hearOf(told)
	}
	h.members.settled(id) // whom it told of is pending by now
}

// hearOf takes in what one member told about another.
func (h *Host) hearOf(p wire.PeerAddresses) {
	id, err := peer.Decode(string(p.ID))
	if err != nil || h.members.attended(id) && !h.members.mute(id) {
		return // a connected peer itself says where it listens
	}
	info := peer.AddrInfo{ID: id}
	for _, text := range p.Addresses {
		if a, err := multiaddr.NewMultiaddr(text); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	if len(info.Addrs) > 0 {
		h.LearnPeer(info)
	}
}

func (h *Host) silent(id peer.ID) {
	if p, news := h.members.silent(id); news {
		h.report(Unresponsive, id, p, "no answer within "+h.cfg.AnswerWithin.String())
	}
}

// refuse notes that a peer is not a member.
func (h *Host) refuse(id peer.ID, reason error) {
	h.host.ConnManager().Unprotect(id, keepTag)
	if p, news := h.members.refuse(id, reason, time.Now()); news {
		h.report(Refused, id, p, reason.Error())
	}
}

// part refuses a connected peer and disconnects once it had the time to learn why.
func (h *Host) part(ctx context.Context, id peer.ID, reason error) {
	h.refuse(id, reason)
	sleep(ctx, partAfter, nil)
	if ctx.Err() == nil { // otherwise it left on its own, and may be back on a new connection
		h.host.Network().ClosePeer(id)
	}
}

// strangeness explains why a peer does not speak our hello.
func (h *Host) strangeness(id peer.ID, err error) error {
	if !errors.Is(err, share.ErrVersion) {
		return err
	}
	protocols, _ := h.host.Peerstore().GetProtocols(id)
	for _, p := range protocols {
		part := strings.Split(string(p), "/") // "", "cairn", grid, "hello", version
		if len(part) != 5 || part[1] != "cairn" || part[3] != "hello" {
			continue
		}
		if part[2] == h.cfg.Grid {
			return fmt.Errorf("%w: it speaks hello/%.16s, this node %s", share.ErrVersion, part[4], helloName)
		}
		return fmt.Errorf("%w: it belongs to another grid (%.64s)", share.ErrVersion, part[2])
	}
	return fmt.Errorf("%w: it is not a node of this grid", share.ErrVersion)
}

func (h *Host) report(change Change, id peer.ID, p Peer, reason string) {
	p.Path, p.Transport = h.pathTo(id)
	h.log.Info("peer "+string(change), "peer", p.ID.Short(), "nickname", p.Nickname, "path", p.Path, "reason", reason)
	h.events.publish(Event{Time: time.Now(), Change: change, Peer: p, Reason: reason})
}

// writeHello writes the message behind its length in four bytes.
func writeHello(w io.Writer, data []byte) error {
	framed := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data)))
	_, err := w.Write(append(framed, data...))
	return err
}

func readHello(r io.Reader) (wire.Hello, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return wire.Hello{}, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > wire.MaxHello {
		return wire.Hello{}, fmt.Errorf("hello: %w: %d bytes", share.ErrTooLarge, n)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return wire.Hello{}, err
	}
	return wire.ParseHello(data)
}
