package p2p_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/p2p"
)

// TestCrowd: a host to which everybody connects parts with those that it carries nothing for, and they find others. A
// connection in use stays.
func TestCrowd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const keep, most = 4, 4 + 2*8
		n := newVirtualNet(t)
		defer n.close()
		n.few = keep
		hub := n.add()
		for range 2 * most {
			n.add(hub.Addresses()...)
		}
		within(t, time.Minute, "all met the hub", func() bool { return len(hub.Peers()) == 2*most })
		var streams []network.Stream
		for _, v := range n.nodes[1:] {
			within(t, time.Minute, "all are connected to the hub", func() bool { return connectedTo(v, hub) })
			for range 2 { // who has more streams is parted with later, so that the one in use would be the first
				streams = append(streams, echoed(t, v, hub))
			}
		}
		streams[len(streams)-1].Reset()
		used := streams[len(streams)-2]
		begin := time.Now()
		for time.Since(begin) < 5*time.Minute {
			if _, err := used.Write([]byte("x")); err != nil {
				t.Fatalf("a stream in use broke after %v: %v", time.Since(begin), err)
			}
			if _, err := io.ReadFull(used, make([]byte, 1)); err != nil {
				t.Fatalf("a stream in use broke after %v: %v", time.Since(begin), err)
			}
			time.Sleep(20 * time.Second)
		}
		for i, v := range n.nodes {
			if c := len(v.Libp2p().Network().Conns()); c > most || c < keep/2 {
				t.Errorf("node %d has %d connections, want %d to %d", i, c, keep/2, most)
			}
		}
	})
}

// TestNeedlessConnection: two that dial each other at the same moment end up with one connection, and never with none.
func TestNeedlessConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		a, b := n.add(), n.add()
		changes, cancel := a.Subscribe()
		defer cancel()
		var dials sync.WaitGroup
		for from, to := range map[*virtualNode]*virtualNode{a: b, b: a} {
			info, err := peer.AddrInfoFromString(to.Addresses()[0])
			if err != nil {
				t.Fatal(err)
			}
			dials.Go(func() {
				if err := from.Libp2p().Connect(t.Context(), *info); err != nil {
					t.Error(err)
				}
			})
		}
		dials.Wait()
		count := func() int { return len(a.Libp2p().Network().Conns()) }
		if count() != 2 {
			t.Skipf("%d connections came of two dials", count())
		}
		used := echoed(t, a, b)
		time.Sleep(45 * time.Second)
		if count() != 2 {
			t.Error("a connection is closed although one to the peer is in use")
		}
		used.Close()
		within(t, 2*time.Minute, "one connection is left", func() bool { return count() == 1 && len(b.Libp2p().Network().Conns()) == 1 })
		echoed(t, b, a).Close()
		time.Sleep(2 * time.Minute)
		for len(changes) > 0 {
			if e := <-changes; e.Change == p2p.Down {
				t.Errorf("the peers parted: %+v", e)
			}
		}
	})
}

// echoed opens a stream from one host to another that has carried something.
func echoed(t *testing.T, from, to *virtualNode) network.Stream {
	t.Helper()
	s, err := from.Stream(t.Context(), to.ID(), "echo/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return s
}

func connectedTo(a, b *virtualNode) bool {
	p, _ := a.Peer(b.ID())
	return p.Path != ""
}

// TestTrimmedIsReachedAtOnce: a member that parted with this host because too many are connected to it is reached again the moment
// somebody wants to.
func TestTrimmedIsReachedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newVirtualNet(t)
		defer n.close()
		n.few = 4
		hub := n.add()
		for range 28 {
			n.add(hub.Addresses()...)
		}
		within(t, time.Minute, "all met the hub", func() bool { return len(hub.Peers()) == 28 })
		connected, parted := map[*virtualNode]bool{}, 0
		for begin := time.Now(); time.Since(begin) < 90*time.Second; time.Sleep(50 * time.Millisecond) {
			for _, v := range n.nodes[1:] {
				before := connected[v]
				connected[v] = connectedTo(v, hub)
				if !before || connected[v] {
					continue
				}
				parted++
				s, err := v.Stream(t.Context(), hub.ID(), "echo/1")
				if err != nil {
					t.Fatalf("the hub parted with a member %v after the start: %v", time.Since(begin), err)
				}
				s.Close()
			}
		}
		if parted == 0 {
			t.Error("the hub parted with nobody")
		}
		t.Logf("the hub parted with members %d times", parted)
	})
}
