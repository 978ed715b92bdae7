package health_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

func TestVerifyHealthy(t *testing.T) {
	for _, size := range []int{0, 1, 3 * blockSize, 40*blockSize + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g, f := newGrid(5), storetest.NewFile(t, 1, 3, 10, blockSize, size)
			for n := range share.Number(10) {
				g.put(t, f, int(n)/2, n)
			}
			var last health.Progress
			r, err := health.Verify(t.Context(), g.servers, f.Index, func(p health.Progress) {
				if p.Bytes < last.Bytes || p.Shares < last.Shares {
					t.Errorf("progress goes back from %+v to %+v", last, p)
				}
				last = p
			})
			if err != nil || !r.Healthy || !r.Verified || len(r.Corrupt) != 0 {
				t.Fatalf("got %+v, %v", r, err)
			}
			if last.Shares != 10 || last.TotalShares != 10 || last.Bytes != last.TotalBytes || last.Bytes == 0 {
				t.Errorf("progress ends at %+v", last)
			}
		})
	}
}

// Every kind of damage is found, named with its peer, and costs one share.
func TestVerifyFindsDamage(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 800*blockSize)
	l := f.Layout
	for name, at := range map[string]int64{
		"first block": 0, "last block": l.RowOffset(0) - 1, "first row": l.RowOffset(0), "other row": l.RowOffset(200),
		"level 1": l.LevelOffset(1) + 300, "level 2": l.LevelOffset(2), "root": l.RootOffset() + 20,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrid(4)
			g.put(t, f, 0, 0)
			g.put(t, f, 1, 1, 2)
			g.peers[1].flip(at, 2)
			var last health.Progress
			r, err := health.Verify(t.Context(), g.servers, f.Index, func(p health.Progress) { last = p })
			if err != nil {
				t.Fatal(err)
			}
			if last.Shares != 3 || last.TotalShares != 3 || last.Bytes != last.TotalBytes {
				t.Errorf("progress ends at %+v", last)
			}
			if r.SharesGood != 2 || len(r.Corrupt) != 1 || r.Corrupt[0].Number != 2 || r.Corrupt[0].Peer != id(1) {
				t.Errorf("got %+v", r)
			}
			if !slices.Equal(r.Holders[id(1)], health.Numbers{1}) {
				t.Errorf("holders %v", r.Holders)
			}
		})
	}
}

func TestVerifyNamesThoseWhoCannotDeliver(t *testing.T) {
	synctest.Test(t, testVerifyNamesThoseWhoCannotDeliver)
}

func testVerifyNamesThoseWhoCannotDeliver(t *testing.T) {
	g, f := newGrid(6), storetest.NewFile(t, 1, 3, 10, blockSize, 30*blockSize)
	g.spread(t, f, 0, 1, 2, 3, 4)
	g.put(t, f, 4, 6, 7)
	g.peers[5].numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
		held[0].Numbers, held[0].Root = []share.Number{5}, f.Root // it has nothing
		return held, nil
	}
	g.peers[1].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
		return hookedReader{Reader: r, cut: 1}, err
	}
	g.peers[2].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
		return hookedReader{Reader: r, read: func(context.Context, []byte, int64) error { return share.ErrCorrupt }}, err
	}
	g.peers[4].open = func(context.Context, share.Number, share.Reader, error) (share.Reader, error) {
		return nil, share.ErrUnavailable
	}
	r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
	if err != nil {
		t.Fatal(err)
	}
	var corrupt, undelivered []share.Number
	for _, fault := range r.Corrupt {
		corrupt = append(corrupt, fault.Number)
	}
	for _, fault := range r.Undelivered {
		undelivered = append(undelivered, fault.Number)
		if fault.Peer != id(4) {
			t.Errorf("got %+v", fault)
		}
	}
	if !slices.Equal(corrupt, []share.Number{1, 2, 5}) || !slices.Equal(undelivered, []share.Number{4, 6, 7}) {
		t.Errorf("corrupt %v, undelivered %v", corrupt, undelivered)
	}
	if !strings.Contains(r.Corrupt[2].Reason, "does not have it") || r.SharesGood != 2 || r.Recoverable {
		t.Errorf("got %+v", r)
	}
}

// A server that stalls after it has answered costs one timeout, not one for each share.
func TestVerifyStallingServer(t *testing.T) {
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 100*blockSize)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(7)
		g.spread(t, f, 0, 1, 2, 3)
		g.put(t, f, 5, 5, 6, 7, 8, 9)
		g.peers[5].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
			return hookedReader{Reader: r, read: func(ctx context.Context, _ []byte, _ int64) error { return hang(ctx) }}, err
		}
		start := time.Now()
		r, err := health.Verify(t.Context(), g.servers, f.Index, nil)
		if took := time.Since(start); err != nil || took > 15*time.Second {
			t.Errorf("it took %v: %v", took, err)
		}
		if len(r.Undelivered) != 5 || r.SharesGood != 4 || r.Undelivered[0].Reason != "no answer in time" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestVerifyIsCancelled(t *testing.T) { synctest.Test(t, testVerifyIsCancelled) }

func testVerifyIsCancelled(t *testing.T) {
	g, f := newGrid(3), storetest.NewFile(t, 1, 1, 3, blockSize, 10*blockSize)
	g.spread(t, f, 0, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g.peers[1].open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
		cancel()
		return r, err
	}
	if _, err := health.Verify(ctx, g.servers, f.Index, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
