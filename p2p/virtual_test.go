package p2p_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"cairn/p2p"
)

// A virtualNet is a network in memory. Inside a bubble of synctest its time is virtual: an hour takes as long as the
// packets of an hour take to compute.
type virtualNet struct {
	t     *testing.T
	net   *simnet.Simnet
	nodes []*virtualNode
	few   int // how many members each node stays connected to; the default if 0
}

// A virtualNode is a host of a virtualNet, with a way to stop it as if its process had been stopped.
type virtualNode struct {
	*p2p.Host
	cfg     p2p.Config
	address net.UDPAddr
	// stopped makes the network swallow what it sends and what is sent to it.
	stopped atomic.Bool
}

func newVirtualNet(t *testing.T) *virtualNet {
	n := &virtualNet{t: t, net: &simnet.Simnet{
		LatencyFunc: simnet.StaticLatency(20 * time.Millisecond), Logger: slog.New(slog.DiscardHandler),
	}}
	n.net.Start()
	return n
}

// close closes the running hosts and the network. It is called in the bubble.
func (n *virtualNet) close() {
	var closing sync.WaitGroup
	for _, v := range n.nodes {
		if v.Host != nil {
			closing.Go(func() { v.Close() })
		}
	}
	closing.Wait()
	n.net.Close()
}

// add starts a host that knows the others through the one at the bootstrap addresses.
func (n *virtualNet) add(bootstrap ...string) *virtualNode {
	n.t.Helper()
	v := &virtualNode{address: net.UDPAddr{IP: simnet.IntToPublicIPv4(len(n.nodes)), Port: 8000}}
	v.cfg = p2p.Config{
		Key: newKey(n.t), Grid: "test", Self: nickname(fmt.Sprint("node", len(n.nodes))), Bootstrap: bootstrap, NoTraversal: true,
		Keep: n.few, Book: n.t.TempDir() + "/peers",
	}
	n.nodes = append(n.nodes, v)
	n.start(v)
	return v
}

// start opens the host at its present address.
func (n *virtualNet) start(v *virtualNode) {
	n.t.Helper()
	cfg := v.cfg
	cfg.Listen = []string{fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", v.address.IP, v.address.Port)}
	cfg.Libp2p = []libp2p.Option{libp2p.QUICReuse(newConnManager,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source(v.address.IP), nil }),
		quicreuse.OverrideListenUDP(func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
			link := simnet.LinkSettings{BitsPerSecond: 100e6}
			return &stoppable{SimConn: n.net.NewEndpoint(a, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}), stopped: &v.stopped}, nil
		}))}
	h, err := p2p.Open(context.Background(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	h.Handle("echo/1", echo)
	v.Host = h
}

func (n *virtualNet) stop(v *virtualNode) {
	v.Close()
	v.Host = nil
}

// A source says which address packets come from.
type source net.IP

func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return net.IP(s), nil }

// newConnManager closes the manager with the host, which the library does for its own only.
func newConnManager(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, options ...quicreuse.Option) (*quicreuse.ConnManager, error) {
	m, err := quicreuse.NewConnManager(reset, token, options...)
	if err == nil {
		l.Append(fx.StopHook(m.Close))
	}
	return m, err
}

// A stoppable socket loses everything while its process is stopped.
type stoppable struct {
	*simnet.SimConn
	stopped *atomic.Bool
}

func (s *stoppable) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.stopped.Load() {
		return len(p), nil
	}
	return s.SimConn.WriteTo(p, to)
}

func (s *stoppable) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		k, from, err := s.SimConn.ReadFrom(p)
		if err != nil || !s.stopped.Load() {
			return k, from, err
		}
	}
}

// within waits, in virtual time, until the condition holds, and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(begin)
}

// running returns the nodes that run and are not stopped.
func (n *virtualNet) running() []*virtualNode {
	return slices.DeleteFunc(slices.Clone(n.nodes), func(v *virtualNode) bool { return v.Host == nil || v.stopped.Load() })
}

// met reports whether every running node has an answer from every other one, and counts on nobody else.
func (n *virtualNet) met() bool {
	list := n.running()
	for _, v := range list {
		if responsive(v.Host) != len(list)-1 {
			return false
		}
	}
	return true
}

// TestVirtualHungPeer: a machine that vanishes without a word costs nobody more than five seconds, at any time after.
func TestVirtualHungPeer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		first := n.add()
		for range 4 {
			n.add(first.Addresses()...)
		}
		within(t, 20*time.Second, "all met", n.met)
		hung := n.nodes[4]
		hung.stopped.Store(true)
		for range 120 {
			for _, v := range n.running() {
				n.check(v, hung)
			}
			time.Sleep(time.Second)
		}
		within(t, 25*time.Second, "the others have noticed", n.met)
		hung.stopped.Store(false)
		t.Logf("back after %v", within(t, 30*time.Second, "it is back", n.met))
	})
}

// check opens a stream to another node and reports when that takes a person's patience.
func (n *virtualNet) check(from, to *virtualNode) {
	n.t.Helper()
	begin := time.Now()
	s, err := from.Stream(context.Background(), to.ID(), "echo/1")
	if err == nil {
		s.SetDeadline(time.Now().Add(5 * time.Second))
		s.Reset()
	}
	if took := time.Since(begin); took > 5*time.Second {
		n.t.Errorf("a stream took %v (%v)", took, err)
	}
}
