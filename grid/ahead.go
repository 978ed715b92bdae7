package grid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

const (
	// aheadObjects is how many objects servers are asked about in one exchange, and aheadBytes bounds what one server sends
	// of their shares ahead.
	aheadObjects = 64
	aheadBytes   = 1 << 20
	// aheadTimeout bounds one such exchange.
	aheadTimeout = 5 * time.Second
)

// An ahead is a store that was asked about several objects in one exchange, and answers from that what is asked about one
// of them afterwards. All else goes to the store itself.
type ahead struct {
	share.Store
	held  map[share.StorageIndex]share.Held
	whole map[wholeID][]byte
	late  error    // it did not answer in time
	gone  sync.Map // of share.StorageIndex: what it said of these holds no longer
}

var _ share.Rechecker = (*ahead)(nil)

type wholeID struct {
	index  share.StorageIndex
	number share.Number
}

// askAhead asks all servers about objects, and fetches small shares of theirs if that is wanted. The servers that it
// returns are for looking only.
func (g *Grid) askAhead(ctx context.Context, indexes []share.StorageIndex, shares bool) map[share.ServerID]share.Server {
	return g.askTheseAhead(ctx, g.Servers(ctx), indexes, shares)
}

func (g *Grid) askTheseAhead(ctx context.Context, servers []share.Server, indexes []share.StorageIndex, shares bool) map[share.ServerID]share.Server {
	stores := make([]*ahead, len(servers))
	var asking sync.WaitGroup
	for i, server := range servers {
		stores[i] = &ahead{Store: server.Store}
		asking.Go(func() {
			if err := stores[i].ask(ctx, indexes, shares); err != nil {
				g.Logger.Debug("a server was not asked ahead", "server", server.String(), "error", err)
			}
		})
	}
	asking.Wait()
	asked := make(map[share.ServerID]share.Server, len(servers))
	for i, server := range servers {
		server.Store = stores[i]
		asked[server.ID] = server
	}
	return asked
}

func (a *ahead) ask(ctx context.Context, indexes []share.StorageIndex, shares bool) error {
	ctx, cancel := awake.WithTimeout(ctx, aheadTimeout)
	defer cancel()
	held, err := a.Store.Numbers(ctx, indexes)
	if errors.Is(err, context.DeadlineExceeded) {
		a.late = err
	}
	if err != nil {
		return err
	}
	if len(held) != len(indexes) {
		return fmt.Errorf("%w: %d answers to %d questions", share.ErrCorrupt, len(held), len(indexes))
	}
	a.held = make(map[share.StorageIndex]share.Held, len(indexes))
	for i, h := range held {
		if h.Index == indexes[i] {
			a.held[h.Index] = h
		}
	}
	if !shares {
		return nil
	}
	return a.fetch(ctx, small(held))
}

// small returns the objects whose shares together are within the bound, as the first of them come.
func small(held []share.Held) []share.StorageIndex {
	var out []share.StorageIndex
	total := int64(0)
	for _, h := range held {
		if len(h.Numbers) == 0 || share.IndexOf(h.Root) != h.Index {
			continue
		}
		root, err := encoding.ParseRoot(h.Root)
		if err != nil {
			continue
		}
		length := root.Layout().RootOffset() + int64(len(h.Root))
		if all := length * int64(len(h.Numbers)); length <= share.MaxWholeShare && total+all <= aheadBytes {
			out, total = append(out, h.Index), total+all
		}
	}
	return out
}

// fetch gets the shares of objects.
func (a *ahead) fetch(ctx context.Context, indexes []share.StorageIndex) error {
	batcher, ok := a.Store.(share.Batcher)
	if !ok || len(indexes) == 0 {
		return nil
	}
	found, err := batcher.Fetch(ctx, indexes)
	if err != nil {
		return err
	}
	a.whole = map[wholeID][]byte{}
	for _, shares := range found {
		for _, s := range shares {
			a.whole[wholeID{s.Index, s.Number}] = s.Data
		}
	}
	return nil
}

// Numbers implements share.Store.
func (a *ahead) Numbers(ctx context.Context, indexes []share.StorageIndex) ([]share.Held, error) {
	if a.late != nil {
		return nil, a.late
	}
	if len(indexes) == 1 && !a.isGone(indexes[0]) {
		if h, ok := a.held[indexes[0]]; ok {
			return []share.Held{h}, nil
		}
	}
	return a.Store.Numbers(ctx, indexes)
}

// Open implements share.Store.
func (a *ahead) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	if data, ok := a.whole[wholeID{index, number}]; ok && !a.isGone(index) {
		return fetchedShare(data), nil
	}
	return a.Store.Open(ctx, index, number)
}

// Recheck implements share.Rechecker.
func (a *ahead) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	rechecker, ok := a.Store.(share.Rechecker)
	if !ok {
		return false, share.ErrDenied
	}
	a.gone.Store(index, true)
	return rechecker.Recheck(ctx, index, number, segment)
}

func (a *ahead) isGone(index share.StorageIndex) bool {
	_, gone := a.gone.Load(index)
	return gone
}

// A fetchedShare is a share in memory.
type fetchedShare []byte

func (s fetchedShare) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(s)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, s[off:])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (s fetchedShare) Size() int64  { return int64(len(s)) }
func (s fetchedShare) Close() error { return nil }
