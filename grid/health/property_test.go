package health_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/storetest"
)

// A mood is how a server behaves.
type mood int

const (
	honest   mood = iota
	silent        // does not answer
	readOnly      // takes nothing
	flaky         // fails some call and every later one
	bitRot        // has a bad block in every share
	boaster       // claims every share
	moods
)

func (p *peer) behave(t *rapid.T, m mood, f *storetest.File) {
	switch m {
	case silent:
		p.numbers = func(context.Context, []share.Held) ([]share.Held, error) { return nil, share.ErrUnavailable }
	case readOnly:
		p.create = func(context.Context, share.Writer, error) (share.Writer, error) { return nil, share.ErrReadOnly }
	case flaky:
		var calls atomic.Int64
		calls.Store(rapid.Int64Range(0, 2*f.Segments()+4).Draw(t, "calls until it fails"))
		fail := func(context.Context) error {
			if calls.Add(-1) < 0 {
				return share.ErrUnavailable
			}
			return nil
		}
		p.create = func(ctx context.Context, w share.Writer, err error) (share.Writer, error) {
			if fail(ctx) != nil {
				return nil, share.ErrUnavailable
			}
			w.(*hookedWriter).append, w.(*hookedWriter).commit = fail, fail
			return w, err
		}
		p.open = func(_ context.Context, _ share.Number, r share.Reader, err error) (share.Reader, error) {
			if err != nil {
				return r, err
			}
			return hookedReader{Reader: r, read: func(ctx context.Context, _ []byte, _ int64) error { return fail(ctx) }}, nil
		}
	case bitRot:
		p.flip(rapid.Int64Range(0, f.RowOffset(0)-1).Draw(t, "bad byte"))
	case boaster:
		p.numbers = func(_ context.Context, held []share.Held) ([]share.Held, error) {
			held[0].Numbers, held[0].Root = first(f.Total), f.Root
			return held, nil
		}
	}
}

// Whatever the servers do: what a repair calls made is there and intact, nothing that was good is lost, and when it
// reports success, honest servers alone bear it out.
func TestRepairNeverLies(t *testing.T) {
	f := storetest.NewFile(t, 1, 2, 5, blockSize, 9*blockSize)
	rapid.Check(t, func(rt *rapid.T) {
		g := newGrid(8)
		state := make([]mood, len(g.peers))
		for i, p := range g.peers {
			state[i] = mood(rapid.IntRange(0, int(moods)-1).Draw(rt, "mood"))
			for range rapid.IntRange(0, 1).Draw(rt, "shares") {
				n := share.Number(rapid.IntRange(0, f.Total-1).Draw(rt, "number"))
				if err := f.Put(context.Background(), p.Store, n, "uploader"); err != nil {
					rt.Fatal(err)
				}
			}
			p.behave(rt, state[i], f)
		}
		result, err := health.Repair(context.Background(), g.servers, f.Index,
			health.Options{Happy: 4, Verify: rapid.Bool().Draw(rt, "verify"), Lease: owner()})
		if err == nil && (!result.After.Healthy || result.After.Happiness < 4) {
			rt.Fatalf("no error, and %+v", result)
		}
		if errors.Is(err, share.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
			rt.Fatalf("unexpected error: %v", err)
		}
		for _, made := range result.Made {
			i := slices.IndexFunc(g.servers, func(s share.Server) bool { return s.ID == made.Peer })
			held, err := g.peers[i].Store.Numbers(context.Background(), []share.StorageIndex{f.Index})
			if err != nil || !slices.Contains(held[0].Numbers, made.Number) {
				rt.Fatalf("share %d is said to be on %s, which holds %v", made.Number, made.Peer, held)
			}
		}
		if result.Before.Verified && result.Before.Recoverable {
			for id, numbers := range result.After.Holders {
				i := slices.IndexFunc(g.servers, func(s share.Server) bool { return s.ID == id })
				if state[i] == boaster && len(numbers) > 2 {
					rt.Fatalf("%s boasts and is believed: %v", id, numbers)
				}
			}
		}
	})
}
