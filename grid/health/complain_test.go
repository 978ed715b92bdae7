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

// damaged returns a grid of three servers with a share of the file each, of which the second one is damaged in its store.
func damaged(t *testing.T, damage storetest.Damage) (*grid, *storetest.File) {
	t.Helper()
	g, f := newGrid(3), storetest.NewFile(t, 1, 2, 3, blockSize, 20*blockSize)
	g.spread(t, f, 0, 1, 2)
	if !f.DamageIn(g.peers[1].Store, 1, damage) {
		t.Fatal("the share is not there")
	}
	return g, f
}

// Damage that a verification finds is found by its server too, and mended where it was.
func TestDamageIsMendedInPlace(t *testing.T) {
	for _, damage := range []storetest.Damage{storetest.Flip, storetest.Cut, storetest.Gone} {
		for _, before := range []string{"verified", "repaired"} {
			t.Run(string(damage)+", "+before, func(t *testing.T) {
				g, f := damaged(t, damage)
				if before == "verified" {
					r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
					if err != nil || len(r.Corrupt) != 1 || !r.Corrupt[0].Dropped || r.Corrupt[0].Peer != id(1) || r.SharesGood != 2 {
						t.Fatalf("%+v, %v", r, err)
					}
				}
				result := repair(t, g, f.Index, health.Options{Happy: 3, Verify: before == "repaired"})
				if !result.After.Healthy || len(result.After.Corrupt) != 0 || result.After.Happiness != 3 {
					t.Errorf("%+v", result.After)
				}
				if !slices.Equal(result.Made, []health.Made{{Number: 1, Peer: id(1)}}) {
					t.Errorf("made %v", result.Made)
				}
				if r := verified(t, g, f, 3); len(r.Corrupt) != 0 {
					t.Errorf("after the repair: %+v", r.Corrupt)
				}
			})
		}
	}
}

// Damage that a repair comes upon while it makes another share is mended with it.
func TestDamageOnTheWayIsMended(t *testing.T) { synctest.Test(t, testDamageOnTheWayIsMended) }

func testDamageOnTheWayIsMended(t *testing.T) {
	g, f := newGrid(4), storetest.NewFile(t, 1, 2, 4, blockSize, 20*blockSize)
	g.spread(t, f, 0, 1, 2)
	if !f.DamageIn(g.peers[1].Store, 1, storetest.Flip) {
		t.Fatal("the share is not there")
	}
	result := repair(t, g, f.Index, health.Options{Happy: 4})
	if !result.After.Healthy || len(result.After.Corrupt) != 0 || len(result.Made) != 2 || !slices.Contains(result.Made, health.Made{Number: 1, Peer: id(1)}) {
		t.Errorf("%+v", result)
	}
	if r := verified(t, g, f, 4); len(r.Corrupt) != 0 {
		t.Errorf("after the repair: %+v", r.Corrupt)
	}
}

// A server that does not look for itself, does not find the damage or lies about what it holds gets nothing, and what it should have had goes
// elsewhere.
func TestDamageOnServersThatDoNotDrop(t *testing.T) {
	for name, set := range map[string]func(p *peer){
		"an older version": func(p *peer) { p.recheck = func() (bool, error) { return false, share.ErrVersion } },
		"finds nothing":    func(p *peer) { p.recheck = func() (bool, error) { return true, nil } },
		"says it is gone and holds it": func(p *peer) {
			p.recheck = func() (bool, error) { return false, nil }
		},
		"does not answer": func(p *peer) {
			p.recheck = func() (bool, error) { return false, errors.Join(share.ErrUnavailable, context.DeadlineExceeded) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, f := damaged(t, storetest.Flip)
			set(g.peers[1])
			g.peers = append(g.peers, newGrid(1).peers[0])
			g.servers = append(g.servers, share.Server{ID: id(3), Store: g.peers[3], Free: 1 << 40})
			result := repair(t, g, f.Index, health.Options{Happy: 3, Verify: true})
			if !slices.Equal(result.Made, []health.Made{{Number: 1, Peer: id(3)}}) || len(result.After.Corrupt) != 1 || result.After.Corrupt[0].Dropped {
				t.Errorf("%+v", result)
			}
			if g.peers[1].created.Load() != 0 {
				t.Error("the server was asked to store a share")
			}
		})
	}
}
