package health_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

// spread spreads what server 0 holds.
func spread(t *testing.T, g *grid, f *storetest.File) ([]share.Number, error) {
	t.Helper()
	made, _, err := health.Spread(t.Context(), g.peers[0], g.servers[1:], f.Index, health.Options{Lease: owner()})
	var numbers []share.Number
	for _, m := range made {
		numbers = append(numbers, m.Number)
	}
	return numbers, err
}

// TestSpread gives one share to each server that has none, and tells which are elsewhere.
func TestSpread(t *testing.T) { synctest.Test(t, testSpread) }

func testSpread(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 6, blockSize, 9*blockSize+17)
	g := newGrid(5)
	g.put(t, f, 0, 0, 1, 2, 3, 5)
	g.put(t, f, 1, 4)
	g.put(t, f, 2, 5) // is elsewhere already
	moved, err := spread(t, g, f)
	if err != nil || len(moved) != 3 || !slices.Contains(moved, 5) {
		t.Fatalf("moved %v, %v; want 5 and two more", moved, err)
	}
	if again, err := spread(t, g, f); err != nil || !slices.Equal(again, moved) {
		t.Errorf("again: %v, %v", again, err)
	}
	for i, p := range g.peers[1:] {
		held, err := p.Numbers(t.Context(), []share.StorageIndex{f.Index})
		if err != nil || len(held[0].Numbers) != 1 {
			t.Errorf("server %d holds %v, %v; want one share", i+1, held[0].Numbers, err)
		}
	}
	if err := g.peers[0].Drop(t.Context(), f.Index, moved); err != nil {
		t.Fatal(err)
	}
	report, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil || !report.Healthy || report.Happiness != 5 {
		t.Errorf("afterwards: %+v, %v", report, err)
	}
}

// TestSpreadBelievesNobody does not let go of a share that cannot be read back from where it is said to be.
func TestSpreadBelievesNobody(t *testing.T) {
	for name, lie := range map[string]func(*peer){
		"forgets": func(p *peer) {
			p.open = func(context.Context, share.Number, share.Reader, error) (share.Reader, error) {
				return nil, share.ErrNotFound
			}
		},
		"corrupts": func(p *peer) { p.flip(2*blockSize + 5) },
		"claims": func(p *peer) {
			p.numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
				held[0].Numbers = []share.Number{0}
				return held, nil
			}
		},
		"refuses": func(p *peer) {
			p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
				return nil, errors.Join(share.ErrNoSpace, w.Close())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := storetest.NewFile(t, 1, 1, 2, blockSize, 5*blockSize)
			g := newGrid(2)
			g.put(t, f, 0, 0)
			lie(g.peers[1])
			if moved, err := spread(t, g, f); len(moved) > 0 || err == nil {
				t.Errorf("moved %v, %v", moved, err)
			}
		})
	}
}

// TestSpreadLeavesDamage does not spread a share that does not verify.
func TestSpreadLeavesDamage(t *testing.T) { synctest.Test(t, testSpreadLeavesDamage) }

func testSpreadLeavesDamage(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, blockSize, 5*blockSize)
	g := newGrid(3)
	g.put(t, f, 0, 1)
	g.peers[0].flip(2*blockSize+5, 1)
	if moved, err := spread(t, g, f); len(moved) > 0 || !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("moved %v, %v", moved, err)
	}
}

// TestSpreadWithoutPlace leaves what nobody has room for.
func TestSpreadWithoutPlace(t *testing.T) { synctest.Test(t, testSpreadWithoutPlace) }

func testSpreadWithoutPlace(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 3, blockSize, 5*blockSize)
	g := newGrid(3)
	g.put(t, f, 0, 0, 1)
	g.put(t, f, 1, 2)
	g.servers[2].Free = 100
	if moved, err := spread(t, g, f); len(moved) > 0 || err != nil {
		t.Errorf("moved %v, %v", moved, err)
	}
}

// TestDamageWhereItIsCopiedFrom has a share be damaged in the store from which it is to go elsewhere: it is named, the others go, and the store
// does not hold it any more.
func TestDamageWhereItIsCopiedFrom(t *testing.T) {
	for _, damage := range []storetest.Damage{storetest.Flip, storetest.Cut, storetest.Gone} {
		for _, way := range []string{"spread", "handed over"} {
			t.Run(string(damage)+", "+way, func(t *testing.T) {
				f := storetest.NewFile(t, 1, 2, 3, blockSize, 50*blockSize)
				g := newGrid(4)
				g.put(t, f, 0, 0, 1, 2)
				if !f.DamageIn(g.peers[0].Store, 1, damage) {
					t.Fatal("the share is not there")
				}
				var made []health.Made
				var err error
				if way == "spread" {
					made, _, err = health.Spread(t.Context(), g.peers[0], g.servers[1:], f.Index, health.Options{Lease: owner()})
				} else {
					made, err = health.HandOver(t.Context(), g.peers[0], g.servers[1:], f.Index, health.Options{Lease: owner()})
				}
				damaged, rest := health.Damages(err)
				if rest != nil || len(damaged) != 1 || damaged[0].Number != 1 || damaged[0].Index != f.Index || !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrNotFound) {
					t.Errorf("damaged %v, %v of %v", damaged, rest, err)
				}
				if len(made) != 2 || made[0].Number != 0 || made[1].Number != 2 {
					t.Errorf("made %v", made)
				}
				if held, err := g.peers[0].Numbers(t.Context(), []share.StorageIndex{f.Index}); err != nil || !slices.Equal(held[0].Numbers, []share.Number{0, 2}) {
					t.Errorf("held %v, %v", held[0].Numbers, err)
				}
			})
		}
	}
}

func TestDamages(t *testing.T) { synctest.Test(t, testDamages) }

func testDamages(t *testing.T) {
	one, two := &health.DamagedError{Number: 1}, &health.DamagedError{Number: 2}
	other := errors.New("no room")
	err := errors.Join(fmt.Errorf("share 1: %w", one), other, errors.Join(fmt.Errorf("share 2: %w", two), nil))
	if damaged, rest := health.Damages(err); !slices.Equal(damaged, []*health.DamagedError{one, two}) || rest == nil || rest.Error() != "no room" {
		t.Errorf("%v, %v", damaged, rest)
	}
	if damaged, rest := health.Damages(nil); len(damaged) != 0 || rest != nil {
		t.Errorf("of nil: %v, %v", damaged, rest)
	}
}
