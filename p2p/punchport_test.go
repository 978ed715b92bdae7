package p2p

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-reuseport"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// testPorts returns ports that listen on the loopback interface, and the address.
func testPorts(t *testing.T) (*ports, net.Addr) {
	t.Helper()
	if !reuseport.Available() {
		t.Skip("no port can be used for two connections here")
	}
	l, err := reuseport.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	h := &Host{}
	t.Cleanup(func() { cancel(); h.tasks.Wait() })
	p := newPorts(ctx, h.start)
	a, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	p.listening([]multiaddr.Multiaddr{a})
	return p, l.Addr()
}

func listenLoopback(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// dialled connects and returns the address that the other side sees.
func dialled(ctx context.Context, t *testing.T, p *ports, l net.Listener) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := p.DialContext(ctx, "tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// TestPortOfDial: peers see the port that the node listens on, but not when they are behind a router and no hole is punched.
func TestPortOfDial(t *testing.T) {
	t.Parallel()
	p, own := testPorts(t)
	ctx := t.Context()
	if from := dialled(ctx, t, p, listenLoopback(t, "127.0.0.1:0")); from != own.String() {
		t.Errorf("a plain dial came from %s, want %s", from, own)
	}
	if from := dialled(network.WithForceDirectDial(ctx, "test"), t, p, listenLoopback(t, "127.0.0.1:0")); from == own.String() {
		t.Error("a probe came from the port that the node listens on")
	}
	punching := network.WithForceDirectDial(network.WithSimultaneousConnect(ctx, true, "test"), "test")
	if from := dialled(punching, t, p, listenLoopback(t, "127.0.0.1:0")); from != own.String() {
		t.Errorf("an attempt to punch a hole came from %s, want %s", from, own)
	}
	routed := listenLoopback(t, "127.0.0.1:0")
	p.routed[routed.Addr().String()] = time.Now()
	if from := dialled(ctx, t, p, routed); from == own.String() {
		t.Error("a dial at a peer behind a router came from the port that the node listens on")
	}
}

// TestRouted: who announces a place at a relay is behind a router, and who has only an address is not.
func TestRouted(t *testing.T) {
	p := newPorts(t.Context(), nil)
	circuit := "/ip4/9.9.9.9/tcp/1/p2p/12D3KooWPTkNXyXVUZq4AjwXLZi46z1moDiK6RCAjNSgzbn4TaSg/p2p-circuit"
	now := time.Now()
	p.learn(addresses("/ip4/5.5.5.5/tcp/4001", "/ip4/192.168.1.1/tcp/4001", "/ip4/5.5.5.5/udp/4001/quic-v1", circuit), now)
	p.learn(addresses("/ip4/6.6.6.6/tcp/4001"), now)
	for address, want := range map[string]bool{
		"5.5.5.5:4001": true, "6.6.6.6:4001": false, "192.168.1.1:4001": false, "9.9.9.9:1": false,
	} {
		if p.isRouted(address) != want {
			t.Errorf("%s behind a router: %v", address, !want)
		}
	}
	p.learn(addresses("/ip4/7.7.7.7/tcp/1", circuit), now.Add(routedFor+time.Second))
	if len(p.routed) != 1 {
		t.Errorf("%d addresses are kept", len(p.routed))
	}
}

// TestKnock: a knock goes on after who wanted it has gone, and a probe that is under way when it begins becomes one.
func TestKnock(t *testing.T) {
	t.Parallel()
	p, own := testPorts(t)
	l := listenLoopback(t, "127.0.0.1:0")
	at := l.Addr().String()
	l.Close()
	punching := network.WithSimultaneousConnect(t.Context(), true, "test")
	short, cancel := context.WithTimeout(punching, 50*time.Millisecond)
	defer cancel()
	if c, err := p.DialContext(short, "tcp4", at); err == nil {
		c.Close()
		t.Fatal("a connection where nobody listens")
	}
	k := p.knock("tcp4", at)
	again := listenLoopback(t, at)
	if from := dialled(punching, t, p, again); from != own.String() {
		t.Errorf("the knock came from %s, want %s", from, own)
	}
	select {
	case c := <-k.opened:
		c.Close()
		t.Error("the knock that went on made another connection")
	default:
	}
}

// TestProbeBecomesKnock: the library waits for one dial at an address only, which is the one that punches.
func TestProbeBecomesKnock(t *testing.T) {
	t.Parallel()
	p, own := testPorts(t)
	l := listenLoopback(t, "127.0.0.1:0")
	at := l.Addr().String()
	kept := &knock{opened: make(chan net.Conn)}
	ctx := network.WithForceDirectDial(t.Context(), "test")
	result := make(chan net.Conn, 1)
	hang := "192.0.2.1:9" // reserved for documentation: nobody answers, or the system says at once that there is no way
	go func() {
		c, _ := p.DialContext(ctx, "tcp4", hang)
		result <- c
	}()
	for waiting := true; waiting; {
		p.mu.Lock()
		end := p.probes[hang]
		if waiting = end == nil && len(result) == 0; !waiting {
			p.knocks[hang] = kept
			if end != nil {
				end()
			}
		}
		p.mu.Unlock()
	}
	c, err := dialFrom(t.Context(), nil, "tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case kept.opened <- c:
	case got := <-result:
		t.Skipf("no dial hangs here: %v from %s", got, own)
	}
	if got := <-result; got != c {
		t.Error("the probe did not wait for the knock")
	}
}
