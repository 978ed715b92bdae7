package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/disk"
)

// countingScrubber fails its second pass.
type countingScrubber struct {
	passes []time.Time
	rate   int64
}

func (s *countingScrubber) Scrub(_ context.Context, rate int64) (disk.ScrubReport, error) {
	s.passes, s.rate = append(s.passes, time.Now()), rate
	if len(s.passes) == 2 {
		return disk.ScrubReport{}, errors.New("odd")
	}
	return disk.ScrubReport{}, nil
}

func TestScrubGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*24*time.Hour)
		defer cancel()
		s := &countingScrubber{}
		var told []control.Kind
		scrub(ctx, s, 42, slog.New(slog.DiscardHandler), func(e control.Event) { told = append(told, e.Kind) })
		if len(s.passes) != 3 || s.rate != 42 {
			t.Fatalf("%d passes at rate %d, want 3 in three days, a failed one included", len(s.passes), s.rate)
		}
		for i, want := range []time.Duration{scrubAfter, scrubAfter + scrubEvery, scrubAfter + 2*scrubEvery} {
			if got := s.passes[i].Sub(began); got != want {
				t.Errorf("pass %d began after %v, want %v", i, got, want)
			}
		}
		if want := []control.Kind{control.KindVerified, control.KindVerifyFailed, control.KindVerified}; !slices.Equal(told, want) {
			t.Errorf("events %v, want %v", told, want)
		}
	})
}

// countingCollector fails its second pass and finds nothing in the third.
type countingCollector struct {
	passes []time.Time
	rate   int64
}

func (c *countingCollector) CollectDue(_ context.Context, rate int64) (disk.CollectReport, error) {
	c.passes, c.rate = append(c.passes, time.Now()), rate
	switch len(c.passes) {
	case 2:
		return disk.CollectReport{}, errors.New("odd")
	case 3:
		return disk.CollectReport{}, nil
	}
	return disk.CollectReport{Shares: 3, Bytes: 5000, Freed: 4000}, nil
}

func TestCollectGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), collectAfter+3*collectEvery+time.Minute)
		defer cancel()
		c := &countingCollector{}
		var told []control.Event
		collect(ctx, c, slog.New(slog.DiscardHandler), func(e control.Event) { told = append(told, e) })
		if len(c.passes) != 4 || c.rate != collectRate || c.passes[3].Sub(began) != collectAfter+3*collectEvery {
			t.Fatalf("passes %v at rate %d, want 4, a failed one included", c.passes, c.rate)
		}
		if len(told) != 2 || told[0].Kind != control.KindCollected || told[0].Text != "removed 3 shares without a lease, 4.0 kB are free again" {
			t.Errorf("events %v", told)
		}
	})
}

// openTest opens a node of a grid on loopback, in which more than askAll members that store make it a large one.
func openTest(t *testing.T, address introducer.Address, askAll int) *Node {
	t.Helper()
	c := config.Default()
	c.Storage.Reserve, c.Network.AskAll, c.Network.MDNS = 0, askAll, false
	c.Network.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	dir, err := Init(filepath.Join(t.TempDir(), "node"), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Join(address); err != nil {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), dir.Path(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// openTestGrid opens n nodes that know each other.
func openTestGrid(t *testing.T, n, askAll int) []*Node {
	t.Helper()
	descriptor, _, err := introducer.Found("test", share.Params{Needed: 1, Happy: 1, Total: 2}, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*Node
	var bootstrap []string
	for range n {
		address, err := introducer.NewAddress(descriptor, bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, openTest(t, address, askAll))
		bootstrap = nodes[0].host.Addresses()
	}
	for _, node := range nodes {
		eventually(t, "every node knows all others", func() bool {
			up := 0
			for _, s := range node.servers.all(t.Context()) {
				if !s.Down {
					up++
				}
			}
			return up == n
		})
	}
	return nodes
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	waittest.Eventually(t, what, condition)
}

func put(t *testing.T, n *Node) share.StorageIndex {
	t.Helper()
	data := make([]byte, 10_000)
	copy(data, t.Name())
	result, err := n.grid.Put(t.Context(), bytes.NewReader(data), grid.PutOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	index, _ := result.Capability.StorageIndex()
	return index
}

func TestSharesAreFoundInLargeGrids(t *testing.T) {
	nodes := openTestGrid(t, 3, 1)
	index := put(t, nodes[0])
	eventually(t, "the holders are found through the DHT", func() bool {
		return len(nodes[2].locate(t.Context(), index)) > 0
	})
	for _, s := range nodes[2].locate(t.Context(), index) {
		if held, err := s.Store.Numbers(t.Context(), []share.StorageIndex{index}); err != nil || len(held[0].Numbers) == 0 {
			t.Errorf("%s was found and holds %v, %v", s, held, err)
		}
	}
}

func TestHeldSharesAreAnnounced(t *testing.T) {
	nodes := openTestGrid(t, 3, 1)
	for _, n := range nodes {
		n.servers.large.Store(false) // as if the grid had been small when the file was stored
		n.servers.askAll = 100
	}
	index := put(t, nodes[0])
	for _, n := range nodes {
		if err := n.announceHeld(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the holders are found through the DHT", func() bool {
		nodes[2].servers.large.Store(true)
		return len(nodes[2].locate(t.Context(), index)) > 0
	})
}

func TestNothingIsAnnouncedInSmallGrids(t *testing.T) {
	nodes := openTestGrid(t, 2, 64)
	index := put(t, nodes[0])
	if found := nodes[1].locate(t.Context(), index); found != nil {
		t.Errorf("%d servers were looked up in a grid of two", len(found))
	}
	if ids, err := nodes[1].discovery.Providers(t.Context(), index); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("announced: %v, %v", ids, err)
	}
}
