package discovery_test

import (
	"crypto/rand"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"cairn/internal/hosttest"
	"cairn/internal/waittest"
	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/p2p/wire"
	"cairn/share"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type node struct {
	*p2p.Host
	*discovery.Discovery
}

func (n node) close(t testing.TB) {
	t.Helper()
	if err := errors.Join(n.Host.Close(), n.Discovery.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// start starts a node that learns of others through the DHT and the local network only.
func start(t testing.TB, change func(*p2p.Config, *discovery.Config)) node {
	t.Helper()
	cfg := p2p.Config{
		Key: hosttest.Key(t), Grid: "test", Listen: p2p.LoopbackAddresses(0)[:1], NoGossip: true,
		Self: func() wire.Hello { return wire.Hello{Storage: true} },
	}
	more := discovery.Config{Serve: true}
	if change != nil {
		change(&cfg, &more)
	}
	h, err := p2p.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	d, err := discovery.New(h, more)
	if err != nil {
		h.Close()
		t.Fatal(err)
	}
	n := node{h, d}
	t.Cleanup(func() { n.close(t) })
	return n
}

func eventually(t testing.TB, what string, holds func() bool) time.Duration {
	t.Helper()
	return waittest.Eventually(t, what, holds)
}

func connected(n node) int { return hosttest.Responsive(n.Host) }

func joining(a node) func(*p2p.Config, *discovery.Config) {
	return func(c *p2p.Config, _ *discovery.Config) { c.Bootstrap = a.Addresses() }
}

func TestMeetThroughDHT(t *testing.T) {
	a := start(t, nil)
	b, c := start(t, joining(a)), start(t, joining(a))
	took := eventually(t, "three nodes met", func() bool {
		return connected(a) == 2 && connected(b) == 2 && connected(c) == 2
	})
	t.Logf("three nodes met through the DHT after %v", took)
}

func TestGatewayMeetsThroughDHT(t *testing.T) {
	a := start(t, nil)
	b := start(t, joining(a))
	c := start(t, func(cfg *p2p.Config, d *discovery.Config) {
		cfg.Bootstrap, d.Serve = a.Addresses(), false
	})
	eventually(t, "the gateway met the other server", func() bool { return connected(c) == 2 && connected(b) == 2 })
}

func TestFindPeerAtNewAddress(t *testing.T) {
	a := start(t, nil)
	key := hosttest.Key(t)
	mover := func(c *p2p.Config, _ *discovery.Config) { c.Key, c.Bootstrap = key, a.Addresses() }
	book := filepath.Join(t.TempDir(), "book.json")
	c := start(t, func(cfg *p2p.Config, d *discovery.Config) {
		cfg.Bootstrap, cfg.Book = a.Addresses(), book
	})
	b := start(t, mover)
	eventually(t, "all met", func() bool { return connected(b) == 2 && connected(c) == 2 })
	old := b.Addresses()
	b.close(t)
	// The others do not get to know each other's addresses by gossip, and c forgets a's.
	b = start(t, mover)
	if b.Addresses()[0] == old[0] {
		t.Skip("the system gave out the same port again")
	}
	id, err := peer.Decode(string(b.ID()))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a met it at the new address", func() bool { return connected(a) == 2 })
	eventually(t, "c finds the new address", func() bool {
		info, err := c.FindPeer(t.Context(), id)
		if err != nil {
			return false
		}
		for _, addr := range info.Addrs {
			if addr.String()+"/p2p/"+string(b.ID()) == b.Addresses()[0] {
				return true
			}
		}
		return false
	})
	eventually(t, "c is connected again", func() bool { return connected(c) == 2 })
}

func TestAnnounceAndFind(t *testing.T) {
	providers := func(_ *p2p.Config, d *discovery.Config) { d.Providers, d.AskAllUpTo = true, 1 }
	a := start(t, providers)
	var nodes []node
	for range 3 {
		nodes = append(nodes, start(t, func(c *p2p.Config, d *discovery.Config) {
			joining(a)(c, d)
			providers(c, d)
		}))
	}
	indexes := make([]share.StorageIndex, 50)
	for i := range indexes {
		rand.Read(indexes[i][:])
	}
	if err := nodes[0].Announce(t.Context(), indexes...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all met", func() bool { return connected(nodes[2]) == 3 })
	for _, index := range indexes {
		took := eventually(t, "the file is found", func() bool {
			found, err := nodes[2].Find(t.Context(), index)
			return err == nil && len(found) == 1 && found[0] == nodes[0].ID()
		})
		if index == indexes[0] {
			t.Logf("found after %v", took)
		}
	}
	absent := share.StorageIndex{1}
	if _, err := nodes[2].Find(t.Context(), absent); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("a file nobody announced: %v, want ErrNotFound", err)
	}
}

func TestSmallGridAsksAll(t *testing.T) {
	a := start(t, nil)
	b := start(t, joining(a))
	eventually(t, "both met", func() bool { return connected(b) == 1 })
	if err := b.Announce(t.Context(), share.StorageIndex{1}); err != nil {
		t.Error(err)
	}
	found, err := b.Find(t.Context(), share.StorageIndex{2})
	if err != nil || len(found) != 1 || found[0] != a.ID() {
		t.Errorf("Find: %v, %v; want the one other member", found, err)
	}
}

func TestMeetOnLocalNetwork(t *testing.T) {
	if !multicast(t) {
		t.Skip("SKIP mdns: no interface of this machine does multicast")
	}
	mdns := func(c *p2p.Config, _ *discovery.Config) { c.MDNS, c.Grid = true, "mdns-test" }
	a, b, c := start(t, mdns), start(t, mdns), start(t, mdns)
	other := start(t, func(c *p2p.Config, _ *discovery.Config) { c.MDNS, c.Grid = true, "mdns-other" })
	took := eventually(t, "three nodes met", func() bool {
		return connected(a) == 2 && connected(b) == 2 && connected(c) == 2
	})
	t.Logf("three nodes met through mDNS after %v", took)
	if n := len(other.Peers()); n != 0 {
		t.Errorf("a node of another grid met %d", n)
	}
}

// multicast reports whether a packet sent to the group of mDNS comes back to this machine.
func multicast(t *testing.T) bool {
	t.Helper()
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 53530}
	listener, err := net.ListenMulticastUDP("udp4", nil, group)
	if err != nil {
		return false
	}
	defer listener.Close()
	sender, err := net.DialUDP("udp4", nil, group)
	if err != nil {
		return false
	}
	defer sender.Close()
	if _, err := sender.Write([]byte("cairn")); err != nil {
		return false
	}
	listener.SetReadDeadline(time.Now().Add(time.Second))
	_, _, err = listener.ReadFrom(make([]byte, 16))
	return err == nil
}

func TestServiceNameHidesGrid(t *testing.T) {
	a, b := discovery.ServiceName("river"), discovery.ServiceName("brook")
	if a == b || len(a) > len("_cairn-01234567._udp") || a != discovery.ServiceName("river") {
		t.Errorf("service names %q and %q", a, b)
	}
}

// refusing is a gate with one peer that is out.
type refusing struct {
	out atomic.Pointer[share.ServerID]
}

func (g *refusing) Admit(id share.ServerID) error {
	if out := g.out.Load(); out != nil && *out == id {
		return errors.New("revoked")
	}
	return nil
}

func TestRefusedPeerGetsNoDHT(t *testing.T) {
	gate := &refusing{}
	a := start(t, func(c *p2p.Config, _ *discovery.Config) { c.Gate = gate })
	b := start(t, joining(a))
	eventually(t, "both met", func() bool { return connected(a) == 1 && connected(b) == 1 })
	id := b.ID()
	gate.out.Store(&id)
	s, err := b.Stream(t.Context(), a.ID(), "kad/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Write([]byte{0})
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(p2p.Reason(err), share.ErrDenied) {
		t.Errorf("the DHT of a node that revoked us: %v, want ErrDenied", err)
	}
	a.Recheck()
	eventually(t, "parted, and out of the routing table", func() bool { return connected(a) == 0 && a.Known() == 0 })
}
