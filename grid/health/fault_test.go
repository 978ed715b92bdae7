package health_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

// failNth makes the n-th operation on any server fail, counted from 0, and reports by its result whether there was one.
func (g *grid) failNth(n int64) *atomic.Bool {
	var calls atomic.Int64
	failed := new(atomic.Bool)
	step := func(context.Context) error {
		if calls.Add(1)-1 != n {
			return nil
		}
		failed.Store(true)
		return share.ErrUnavailable
	}
	for _, p := range g.peers {
		p.numbers = func(ctx context.Context, held []share.Held) ([]share.Held, error) { return held, step(ctx) }
		p.renew = func() error { return step(context.Background()) }
		p.open = func(ctx context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
			if err != nil {
				return nil, err
			}
			read := func(ctx context.Context, _ []byte, _ int64) error { return step(ctx) }
			return hookedReader{Reader: r, read: read}, step(ctx)
		}
		p.create = func(ctx context.Context, w share.Writer, err error) (share.Writer, error) {
			if err != nil {
				return nil, err
			}
			w.(*hookedWriter).append, w.(*hookedWriter).commit = step, step
			return w, step(ctx)
		}
	}
	return failed
}

// Whichever single operation fails, the repair gets along without it or says so, what it says it made is there, and the
// next one completes the work.
func TestRepairWhenTheNthOperationFails(t *testing.T) {
	synctest.Test(t, testRepairWhenTheNthOperationFails)
}

func testRepairWhenTheNthOperationFails(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 4, blockSize, 5*blockSize)
	for _, verify := range []bool{false, true} {
		for n := int64(0); ; n++ {
			g := newGrid(6)
			g.spread(t, f, 0, 2, 3) // one to spare
			failed := g.failNth(n)
			options := health.Options{Happy: 4, Verify: verify, Lease: owner()}
			result, err := health.Repair(t.Context(), g.servers, f.Index, options)
			if err != nil {
				t.Errorf("operation %d: %v", n, err)
			}
			if !result.After.Healthy || result.After.Happiness < 4 {
				t.Errorf("operation %d: %+v", n, result)
			}
			again := failed.Load()
			g.failNth(-1)
			verified(t, g, f, 4)
			if result, err := health.Repair(t.Context(), g.servers, f.Index, options); err != nil || len(result.Made) > 0 {
				t.Errorf("operation %d: the next repair made %v, %v", n, result.Made, err)
			}
			if !again {
				t.Logf("verify %v: %d operations", verify, n)
				break
			}
		}
	}
}
