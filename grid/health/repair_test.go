package health_test

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

func repair(t *testing.T, g *grid, index share.StorageIndex, o health.Options) health.Result {
	t.Helper()
	o.Lease = owner()
	result, err := health.Repair(t.Context(), g.servers, index, o)
	if err != nil {
		t.Fatalf("%v\n%+v", err, result)
	}
	return result
}

// verified checks every share there is and that the file has all of them on that many servers.
func verified(t *testing.T, g *grid, f *storetest.File, happiness int) health.Report {
	t.Helper()
	r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Healthy || r.Happiness < happiness {
		t.Errorf("healthy %v, happiness %d, want %d: %+v", r.Healthy, r.Happiness, happiness, r)
	}
	return r
}

// Whatever k shares survive, all others are made from them.
func TestRepairEveryLossPattern(t *testing.T) { synctest.Test(t, testRepairEveryLossPattern) }

func testRepairEveryLossPattern(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 7*blockSize+5)
	for pattern := range 1 << 10 {
		if bits.OnesCount(uint(pattern)) != 3 {
			continue
		}
		g := newGrid(10)
		for n := range share.Number(10) {
			if pattern&(1<<n) != 0 {
				g.put(t, f, int(n), n)
			}
		}
		result := repair(t, g, f.Index, health.Options{Happy: 7})
		if result.Before.SharesGood != 3 || !result.After.Healthy || len(result.Made) != 7 || result.After.Happiness != 10 {
			t.Fatalf("survivors %010b: got %+v", pattern, result)
		}
		verified(t, g, f, 10)
	}
}

// Every number of survivors, code and size of the file.
func TestRepairShapes(t *testing.T) {
	for _, c := range []struct{ k, n, size int }{
		{1, 1, 100},
		{1, 5, 0},
		{1, 5, 1},
		{1, 4, 9*blockSize + 1},
		{3, 10, 0},
		{3, 10, 1},
		{3, 10, 56},
		{4, 4, 10 * blockSize},
		{3, 10, 3*blockSize - 1},
		{3, 10, 3 * blockSize},
		{3, 10, 3*blockSize + 1},
		{2, 3, 700*blockSize + 3},
		{20, 30, 100 * blockSize},
	} {
		t.Run(fmt.Sprintf("%d-of-%d/%d", c.k, c.n, c.size), func(t *testing.T) {
			f := storetest.NewFile(t, 1, c.k, c.n, blockSize, c.size)
			for lost := range c.n - c.k + 1 {
				g := newGrid(c.n)
				g.spread(t, f, first(c.n)[lost:]...)
				var last health.Progress
				result := repair(t, g, f.Index, health.Options{Happy: c.n, Progress: func(p health.Progress) { last = p }})
				if len(result.Made) != lost {
					t.Errorf("%d shares lost, made %v", lost, result.Made)
				}
				if last.Shares != lost || last.Shares != last.TotalShares || last.Bytes != last.TotalBytes {
					t.Errorf("progress ends at %+v", last)
				}
				verified(t, g, f, c.n)
			}
		})
	}
}

func TestRepairOfAHealthyFileChangesNothing(t *testing.T) {
	synctest.Test(t, testRepairOfAHealthyFileChangesNothing)
}

func testRepairOfAHealthyFileChangesNothing(t *testing.T) {
	g, f := newGrid(12), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, first(10)...)
	for _, verify := range []bool{false, true} {
		result := repair(t, g, f.Index, health.Options{Happy: 7, Verify: verify})
		if len(result.Made) != 0 || !result.After.Healthy || result.Before.Verified != verify {
			t.Errorf("got %+v", result)
		}
	}
	for i, p := range g.peers {
		if p.created.Load() != 0 {
			t.Errorf("peer %d was asked to store a share", i)
		}
	}
}

func TestRepairIsIdempotent(t *testing.T) { synctest.Test(t, testRepairIsIdempotent) }

func testRepairIsIdempotent(t *testing.T) {
	g, f := newGrid(10), storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	g.spread(t, f, 2, 5, 9)
	before := repair(t, g, f.Index, health.Options{Happy: 7})
	again := repair(t, g, f.Index, health.Options{Happy: 7})
	if len(before.Made) != 7 || len(again.Made) != 0 {
		t.Errorf("made %v, then %v", before.Made, again.Made)
	}
}

func TestRepairRenewsLeases(t *testing.T) { synctest.Test(t, testRepairRenewsLeases) }

func testRepairRenewsLeases(t *testing.T) {
	g, f := newGrid(10), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, 0, 1, 2, 3)
	g.peers[3].renew = func() error { return share.ErrUnavailable }
	result := repair(t, g, f.Index, health.Options{Happy: 7})
	if want := []share.ServerID{id(0), id(1), id(2)}; !slices.Equal(result.Renewed, want) {
		t.Errorf("renewed %v, want %v", result.Renewed, want)
	}
	for _, i := range []int{0, 5} {
		leases, err := g.peers[i].Leases(t.Context(), f.Index)
		if err != nil || !slices.ContainsFunc(leases, func(l share.Lease) bool { return l.Owner == owner().Owner }) {
			t.Errorf("peer %d has leases %v, %v", i, leases, err)
		}
	}
}

func TestRepairImpossible(t *testing.T) { synctest.Test(t, testRepairImpossible) }

func testRepairImpossible(t *testing.T) {
	g, f := newGrid(10), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	if _, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Lease: owner()}); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	g.spread(t, f, 4, 6)
	result, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Lease: owner()})
	e, ok := errors.AsType[*share.NotEnoughSharesError](err)
	if !ok || e.Found != 2 || e.Needed != 3 || e.Answered != 10 || e.Asked != 10 {
		t.Errorf("got %v", err)
	}
	if result.Before.SharesGood != 2 || result.After.Recoverable {
		t.Errorf("got %+v", result)
	}
}

// With Verify, bad shares are made anew elsewhere and their servers get nothing more.
func TestRepairReplacesCorruptShares(t *testing.T) { synctest.Test(t, testRepairReplacesCorruptShares) }

func testRepairReplacesCorruptShares(t *testing.T) {
	g, f := newGrid(12), storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	g.spread(t, f, first(10)...)
	bad := []int{0, 4, 8}
	for _, i := range bad {
		g.peers[i].flip(f.BlockOffset(7))
	}
	result := repair(t, g, f.Index, health.Options{Happy: 7, Verify: true})
	if result.Before.SharesGood != 7 || len(result.Before.Corrupt) != 3 || len(result.Made) != 3 || !result.After.Healthy {
		t.Fatalf("got %+v", result)
	}
	for _, made := range result.Made {
		if made.Peer == id(0) || made.Peer == id(4) || made.Peer == id(8) {
			t.Errorf("%s gave a bad share and got share %d", made.Peer, made.Number)
		}
	}
	verified(t, g, f, 9)
}

// Without Verify, a bad share that the repair has to read is found and made anew as well.
func TestRepairFindsCorruptSharesOnTheWay(t *testing.T) {
	synctest.Test(t, testRepairFindsCorruptSharesOnTheWay)
}

func testRepairFindsCorruptSharesOnTheWay(t *testing.T) {
	g, f := newGrid(12), storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	g.spread(t, f, 0, 1, 2, 3, 4)
	g.peers[0].flip(f.BlockOffset(7))
	g.peers[1].flip(f.RowOffset(8)) // never read unless it is asked for the index
	result := repair(t, g, f.Index, health.Options{Happy: 7})
	if !slices.ContainsFunc(result.After.Corrupt, func(f health.Fault) bool { return f.Peer == id(0) && f.Number == 0 }) {
		t.Errorf("corrupt %v", result.After.Corrupt)
	}
	r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil || r.SharesGood < 9 || !slices.ContainsFunc(result.Made, func(m health.Made) bool { return m.Number == 0 }) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestRepairAroundLyingRoots(t *testing.T) { synctest.Test(t, testRepairAroundLyingRoots) }

func testRepairAroundLyingRoots(t *testing.T) {
	g, f := newGrid(10), storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	other := storetest.NewFile(t, 2, 3, 10, blockSize, 50*blockSize)
	g.spread(t, f, 0, 1, 2, 3, 4)
	for _, p := range g.peers[:2] {
		p.numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
			held[0].Root = other.Root
			return held, nil
		}
	}
	result := repair(t, g, f.Index, health.Options{Happy: 5})
	if result.Before.SharesGood != 3 || len(result.Before.Corrupt) != 2 || !result.After.Healthy || result.After.Happiness != 8 {
		t.Errorf("got %+v", result)
	}
}

func TestRepairWithHungServers(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(12)
		g.spread(t, f, first(6)...)
		g.peers[0].numbers = func(ctx context.Context, _ []share.Held) ([]share.Held, error) { return nil, hang(ctx) }
		g.peers[1].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
			return hookedReader{Reader: r, read: func(ctx context.Context, _ []byte, _ int64) error { return hang(ctx) }}, err
		}
		g.peers[8].create = func(ctx context.Context, _ share.Writer, _ error) (share.Writer, error) { return nil, hang(ctx) }
		g.peers[9].create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).append = hang
			return w, err
		}
		start := time.Now()
		result := repair(t, g, f.Index, health.Options{Happy: 7})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		if !result.After.Healthy {
			t.Errorf("got %+v", result)
		}
	})
}

// TestRepairWithATargetThatStopsBeforeItsCommit: a server that is silent altogether costs little, and one that is only
// slow is waited for.
func TestRepairWithATargetThatStopsBeforeItsCommit(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 50*blockSize)
	for what, c := range map[string]struct {
		silent bool
		limit  time.Duration
		taken  bool
	}{
		"silent": {true, 20 * time.Second, false},
		"slow":   {false, 91 * time.Second, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGrid(12)
				g.spread(t, f, first(6)...)
				var stopped atomic.Int64 // position of the server that stops, 0 before one does
				for i, p := range g.peers[6:] {
					mine := int64(i + 6)
					p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
						w.(*hookedWriter).commit = func(ctx context.Context) error {
							switch {
							case !stopped.CompareAndSwap(0, mine):
								return nil
							case c.silent:
								return hang(ctx)
							}
							return hangFor(ctx, 90*time.Second)
						}
						return w, err
					}
					p.numbers = func(ctx context.Context, held []share.Held) ([]share.Held, error) {
						if c.silent && stopped.Load() == mine {
							return nil, hang(ctx)
						}
						return held, nil
					}
				}
				start := time.Now()
				result := repair(t, g, f.Index, health.Options{Happy: 7})
				if took := time.Since(start); took > c.limit {
					t.Errorf("it took %v", took)
				}
				if !result.After.Healthy {
					t.Errorf("got %+v", result)
				}
				taken := slices.ContainsFunc(result.Made, func(m health.Made) bool { return m.Peer == id(int(stopped.Load())) })
				if stopped.Load() == 0 || taken != c.taken {
					t.Errorf("server %d stopped; made %v", stopped.Load(), result.Made)
				}
			})
		})
	}
}

// hangFor blocks for a while, or until the caller gives up.
func hangFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The n-th call of a server fails, for every n, until nothing fails any more.
func TestRepairReplacesFailingTargets(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 12*blockSize)
	for name, fail := range map[string]func(w *hookedWriter, n int){
		"append": func(w *hookedWriter, n int) {
			w.append = func(context.Context) error {
				if n--; n < 0 {
					return share.ErrNoSpace
				}
				return nil
			}
		},
		"commit": func(w *hookedWriter, _ int) {
			w.commit = func(context.Context) error { return share.ErrUnavailable }
		},
	} {
		for n := range 5 {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				g := newGrid(14)
				g.spread(t, f, 0, 1, 2, 3)
				for _, p := range g.peers[4:8] {
					p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
						fail(w.(*hookedWriter), n)
						return w, err
					}
				}
				g.peers[8].create = func(context.Context, share.Writer, error) (share.Writer, error) { return nil, share.ErrReadOnly }
				result := repair(t, g, f.Index, health.Options{Happy: 7})
				if !result.After.Healthy || len(result.Made) != 6 {
					t.Errorf("got %+v", result)
				}
				verified(t, g, f, 9)
			})
		}
	}
}

// When no server takes anything, the error says why and nothing waits for ever.
func TestRepairWithoutTargets(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 12*blockSize)
	for name, hook := range map[string]func(context.Context, share.Writer, error) (share.Writer, error){
		"create": func(context.Context, share.Writer, error) (share.Writer, error) { return nil, share.ErrReadOnly },
		"append": func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).append = func(context.Context) error { return share.ErrReadOnly }
			return w, err
		},
		"commit": func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).commit = func(context.Context) error { return share.ErrReadOnly }
			return w, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(10)
			g.spread(t, f, 0, 1, 2, 3)
			for _, p := range g.peers {
				p.create = hook
			}
			result, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Happy: 7, Lease: owner()})
			if !errors.Is(err, share.ErrReadOnly) || !strings.Contains(err.Error(), "6 of 10 shares have no place") {
				t.Errorf("got %v", err)
			}
			if len(result.Made) != 0 || !result.After.Recoverable {
				t.Errorf("got %+v", result)
			}
		})
	}
	g := newGrid(10)
	g.spread(t, f, 0, 1, 2, 3)
	for i := range g.servers {
		g.servers[i].Free = 10
	}
	if _, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Lease: owner()}); !errors.Is(err, share.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
}

// Sources that fail in the middle are replaced by other holders, as long as k shares of each segment are to be had.
func TestRepairSurvivesFailingSources(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 90*blockSize)
	for name, damage := range map[string]error{"gone": share.ErrUnavailable, "corrupt": share.ErrCorrupt, "closed": share.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(12)
			g.spread(t, f, first(6)...)
			for i, p := range g.peers[:3] {
				after := f.BlockOffset(int64(5 + 5*i))
				p.open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
					return hookedReader{Reader: r, read: func(_ context.Context, _ []byte, off int64) error {
						if off >= after && off < f.RowOffset(0) {
							return damage
						}
						return nil
					}}, err
				}
			}
			result := repair(t, g, f.Index, health.Options{Happy: 7})
			if len(result.Made) < 4 || !result.After.Healthy {
				t.Errorf("got %+v", result)
			}
		})
	}
}

// When too many sources fail, what was stored stays and the next repair continues with it.
func TestRepairContinues(t *testing.T) { synctest.Test(t, testRepairContinues) }

func testRepairContinues(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 90*blockSize)
	g := newGrid(10)
	g.spread(t, f, 0, 1, 2)
	half := f.BlockOffset(15)
	g.peers[2].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
		return hookedReader{Reader: r, read: func(_ context.Context, _ []byte, off int64) error {
			if off >= half && off < f.RowOffset(0) {
				return share.ErrUnavailable
			}
			return nil
		}}, err
	}
	_, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Happy: 7, Lease: owner()})
	if _, ok := errors.AsType[*share.NotEnoughSharesError](err); !ok {
		t.Fatalf("got %v", err)
	}
	stored := 0
	for _, p := range g.peers {
		uploads, err := p.Uploads(t.Context(), owner().Owner, health.UploadID(f.Index))
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uploads {
			stored += int(u.Blocks)
		}
	}
	if stored == 0 {
		t.Fatal("nothing was stored before the source failed")
	}
	g.peers[2].open = nil
	repair(t, g, f.Index, health.Options{Happy: 7})
	total := int64(0)
	for _, p := range g.peers {
		total += p.appended.Load()
	}
	if want := 7 * f.Segments(); total != want {
		t.Errorf("%d blocks were sent in both repairs, want %d", total, want)
	}
	verified(t, g, f, 10)
}

// Shares are finished where they were begun, although the plan for a grid that has grown is another.
func TestRepairContinuesInAGrownGrid(t *testing.T) { synctest.Test(t, testRepairContinuesInAGrownGrid) }

func testRepairContinuesInAGrownGrid(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 90*blockSize)
	g := newGrid(10)
	g.spread(t, f, 0, 1, 2)
	for _, p := range g.peers {
		p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).commit = func(context.Context) error { return share.ErrUnavailable }
			return w, err
		}
	}
	if _, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Happy: 7, Lease: owner()}); !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	for i, p := range g.peers {
		p.create = nil
		if i > 2 && p.appended.Load() != f.Segments() {
			t.Fatalf("peer %d got %d of %d blocks", i, p.appended.Load(), f.Segments())
		}
	}
	grown := newGrid(40)
	copy(grown.peers, g.peers)
	copy(grown.servers, g.servers)
	repair(t, grown, f.Index, health.Options{Happy: 7})
	for i, p := range grown.peers[10:] {
		if p.created.Load() != 0 {
			t.Errorf("server %d was asked to store a share that another one has almost", 10+i)
		}
	}
	verified(t, grown, f, 10)
}

func TestRepairIsCancelled(t *testing.T) { synctest.Test(t, testRepairIsCancelled) }

func testRepairIsCancelled(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 90*blockSize)
	g := newGrid(10)
	g.spread(t, f, 0, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, p := range g.peers {
		p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).append = func(context.Context) error {
				if p.appended.Load() == 9 {
					cancel()
				}
				return nil
			}
			return w, err
		}
	}
	result, err := health.Repair(ctx, g.servers, f.Index, health.Options{Happy: 7, Lease: owner()})
	if !errors.Is(err, context.Canceled) || result.Before.SharesGood != 3 {
		t.Fatalf("got %v, %+v", err, result)
	}
	for _, p := range g.peers {
		p.create = nil
	}
	repair(t, g, f.Index, health.Options{Happy: 7})
	verified(t, g, f, 10)
}

// An unfinished share that is of no use is begun anew on the same server, where there is no other.
func TestRepairBeginsSpoiledSharesAnew(t *testing.T) {
	synctest.Test(t, testRepairBeginsSpoiledSharesAnew)
}

func testRepairBeginsSpoiledSharesAnew(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, blockSize, 9*blockSize)
	other := storetest.NewFile(t, 2, 1, 2, blockSize, 9*blockSize)
	g := newGrid(2)
	g.put(t, f, 0, 0)
	g.servers[0].Free = 0
	upload := f.Upload(1, owner().Owner)
	upload.ID = health.UploadID(f.Index)
	w, err := g.peers[1].Store.Create(t.Context(), upload)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Append(t.Context(), w, 1, 0, 4); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if result := repair(t, g, f.Index, health.Options{}); len(result.Made) != 1 {
		t.Errorf("got %+v", result)
	}
	verified(t, g, f, 2)
}

// Copies go to other servers when several shares sit on one, no more than it takes.
func TestRepairSpreads(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 20*blockSize)
	for _, happy := range []int{0, 1, 4, 7, 10} {
		t.Run(fmt.Sprint(happy), func(t *testing.T) {
			g := newGrid(12)
			g.put(t, f, 0, first(10)...)
			result := repair(t, g, f.Index, health.Options{Happy: happy})
			if want := max(0, happy-1); len(result.Made) != want || result.After.Happiness != want+1 {
				t.Errorf("made %v, happiness %d, want %d", result.Made, result.After.Happiness, want+1)
			}
			verified(t, g, f, happy)
		})
	}
}

func TestRepairIsUnhappy(t *testing.T) { synctest.Test(t, testRepairIsUnhappy) }

func testRepairIsUnhappy(t *testing.T) {
	g, f := newGrid(4), storetest.NewFile(t, 1, 3, 10, blockSize, 20*blockSize)
	g.put(t, f, 0, first(3)...)
	result, err := health.Repair(t.Context(), g.servers, f.Index, health.Options{Happy: 7, Lease: owner()})
	e, ok := errors.AsType[*share.UnhappyError](err)
	if !ok || e.Happiness != 4 || e.Happy != 7 || e.Servers != 4 {
		t.Errorf("got %v", err)
	}
	if !result.After.Healthy || len(result.Made) != 7 {
		t.Errorf("got %+v", result)
	}
	for _, numbers := range result.After.Holders {
		if len(numbers) > 4 {
			t.Errorf("holders %v", result.After.Holders)
		}
	}
}

// Down servers get nothing new, but what they hold counts.
func TestRepairSparesServersThatAreDown(t *testing.T) {
	synctest.Test(t, testRepairSparesServersThatAreDown)
}

func testRepairSparesServersThatAreDown(t *testing.T) {
	g, f := newGrid(12), storetest.NewFile(t, 1, 3, 10, blockSize, 100)
	g.spread(t, f, 0, 1, 2)
	for i := range g.servers[:5] {
		g.servers[i].Down = true
	}
	result := repair(t, g, f.Index, health.Options{Happy: 7})
	if result.Before.SharesGood != 3 || g.peers[3].created.Load()+g.peers[4].created.Load() != 0 {
		t.Errorf("got %+v", result)
	}
}

// A small disk and a large one: nobody gets more than fits.
func TestRepairMindsSpace(t *testing.T) { synctest.Test(t, testRepairMindsSpace) }

func testRepairMindsSpace(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 6, blockSize, 20*blockSize)
	g := newGrid(4)
	g.put(t, f, 0, 0, 1)
	g.servers[0].Free = 0
	size := f.RootOffset() + int64(len(f.Root))
	g.peers[1].Store = memory.New(memory.Options{Offer: size + size/2})
	g.servers[1].Free = size + size/2
	result := repair(t, g, f.Index, health.Options{Happy: 4})
	if len(result.After.Holders[id(1)]) != 1 || !result.After.Healthy {
		t.Errorf("got %+v", result)
	}
}
