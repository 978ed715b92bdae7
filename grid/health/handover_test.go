package health_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

// handOver hands over what server 0 holds.
func handOver(t *testing.T, g *grid, f *storetest.File) ([]health.Made, error) {
	t.Helper()
	return health.HandOver(t.Context(), g.peers[0], g.servers[1:], f.Index, health.Options{Lease: owner()})
}

func TestHandOver(t *testing.T) { synctest.Test(t, testHandOver) }

func testHandOver(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 5, blockSize, 9*blockSize+17)
	g := newGrid(7)
	g.put(t, f, 0, 0, 3)
	g.put(t, f, 1, 1)
	g.put(t, f, 2, 2, 3) // number 3 has a second holder already
	g.put(t, f, 3, 4)
	made, err := handOver(t, g, f)
	if err != nil || len(made) != 1 || made[0].Number != 0 {
		t.Fatalf("made %v, %v; want share 0 alone", made, err)
	}
	if slices.Contains([]share.ServerID{id(0), id(1), id(2), id(3)}, made[0].Peer) {
		t.Errorf("share 0 went to %s, which has a share, while others have none", made[0].Peer)
	}
	g.servers = g.servers[1:]
	report, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil || !report.Healthy {
		t.Errorf("without the first server: %+v, %v", report, err)
	}
}

func TestHandOverGoesOnWithAnotherServer(t *testing.T) {
	synctest.Test(t, testHandOverGoesOnWithAnotherServer)
}

func testHandOverGoesOnWithAnotherServer(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 3, blockSize, 5*blockSize)
	g := newGrid(4)
	g.put(t, f, 0, 0)
	failed := 0
	for _, p := range g.peers[1:3] {
		p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			failed++
			return nil, errors.Join(share.ErrNoSpace, w.Close())
		}
	}
	made, err := handOver(t, g, f)
	if err != nil || len(made) != 1 || made[0].Peer != id(3) {
		t.Fatalf("made %v, %v, want share 0 on %s", made, err, id(3))
	}
	g.peers[3].create = g.peers[1].create
	again := newGrid(1)
	again.put(t, f, 0, 1)
	g.peers[0] = again.peers[0]
	if made, err := handOver(t, g, f); len(made) > 0 || !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("made %v, %v where nobody takes it", made, err)
	}
	if failed == 0 {
		t.Error("no server refused")
	}
}

func TestHandOverOfADamagedShare(t *testing.T) { synctest.Test(t, testHandOverOfADamagedShare) }

func testHandOverOfADamagedShare(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, blockSize, 5*blockSize)
	g := newGrid(3)
	g.put(t, f, 0, 1)
	g.peers[0].flip(2*blockSize+5, 1)
	made, err := handOver(t, g, f)
	if len(made) > 0 || !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("made %v, %v", made, err)
	}
	for _, p := range g.peers[1:] {
		if held, err := p.Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || len(held[0].Numbers) > 0 {
			t.Errorf("a server holds %v of it, %v", held, err)
		}
	}
}

func TestHandOverOfNothing(t *testing.T) { synctest.Test(t, testHandOverOfNothing) }

func testHandOverOfNothing(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, blockSize, blockSize)
	if made, err := handOver(t, newGrid(2), f); len(made) > 0 || err != nil {
		t.Errorf("made %v, %v", made, err)
	}
}
