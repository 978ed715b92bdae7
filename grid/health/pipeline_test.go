package health_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reading ahead hides the latency of the sources behind that of the targets, which work side by side.
func TestRepairHidesLatency(t *testing.T) {
	const latency, segments = 50 * time.Millisecond, 90
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 3*segments*blockSize)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		g.spread(t, f, 0, 1, 2)
		for _, p := range g.peers {
			p.open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
				return hookedReader{Reader: r, read: func(ctx context.Context, _ []byte, _ int64) error { return pause(ctx, latency) }}, err
			}
			p.create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
				w.(*hookedWriter).append = func(ctx context.Context) error { return pause(ctx, latency) }
				return w, err
			}
		}
		start := time.Now()
		result := repair(t, g, f.Index, health.Options{Happy: 7})
		if took := time.Since(start); took > (segments+20)*latency || len(result.Made) != 7 {
			t.Errorf("it took %v, that is %.1f round trips for %d segments", took, float64(took)/float64(latency), segments)
		}
	})
}

// A target that does not move holds up the reading before many segments are in memory.
func TestRepairHoldsFewSegments(t *testing.T) {
	const segments = 150
	f := storetest.NewFile(t, 1, 3, 10, blockSize, 3*segments*blockSize)
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(10)
		g.spread(t, f, first(9)...)
		var reads, atHang atomic.Int64
		for _, p := range g.peers[:9] {
			p.open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
				return hookedReader{Reader: r, read: func(context.Context, []byte, int64) error {
					reads.Add(1)
					return nil
				}}, err
			}
		}
		g.peers[9].create = func(_ context.Context, w share.Writer, err error) (share.Writer, error) {
			w.(*hookedWriter).append = func(ctx context.Context) error {
				err := hang(ctx)
				atHang.Store(reads.Load())
				return err
			}
			return w, err
		}
		result := repair(t, g, f.Index, health.Options{})
		if len(result.Made) != 1 || atHang.Load() == 0 || atHang.Load() > 3*20 {
			t.Errorf("%d blocks were read while the target hung, made %v", atHang.Load(), result.Made)
		}
	})
}
