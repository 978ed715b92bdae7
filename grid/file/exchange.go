package file

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// A give is what one server gets in one exchange of a batch.
type give struct {
	server  share.Server
	items   []*item // of each share
	shares  []share.WholeShare
	renewed []share.StorageIndex // files of which it has what it is to have

	// The rest is set by the goroutine that gives, and read when done is received.
	errs []error
	err  error
}

// askHeld asks every server what it has of the files, all in one question.
func (b *batch) askHeld(ctx context.Context, items []*item) {
	indexes := make([]share.StorageIndex, len(items))
	for i, it := range items {
		indexes[i] = it.Index
	}
	question := func(ctx context.Context, s share.Server) ([]share.Held, error) {
		held, err := s.Store.Numbers(ctx, indexes)
		if err == nil && len(held) != len(indexes) {
			err = errors.New("answered another question than was asked")
		}
		return held, err
	}
	ask(ctx, b.order, question, func(a answer[[]share.Held]) {
		if a.err != nil {
			b.fail(a.server, a.err)
			return
		}
		for i, held := range a.value {
			for _, number := range held.Numbers {
				if int(number) < b.o.Params.Total && held.Index == indexes[i] && share.IndexOf(held.Root) == indexes[i] {
					items[i].held[a.server.ID] = append(items[i].held[a.server.ID], number)
				}
			}
		}
	})
}

// fail notes that a server failed: it gets nothing more.
func (b *batch) fail(s share.Server, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sick[s.ID] != nil {
		return
	}
	b.sick[s.ID] = err
	b.failures = append(b.failures, wrapServer(s, err))
	if !errors.Is(err, context.Canceled) { // whoever asked has gone, which says nothing about the server
		b.o.Log.Warn("a server did not take its shares of a batch", "server", s.String(), "error", err)
	}
}

// gives collects what each server is to get.
func (b *batch) gives(items []*item) []*give {
	byServer := map[share.ServerID]*give{}
	var gives []*give
	for _, it := range items {
		if it.err != nil {
			continue
		}
		for number := range it.Shares {
			number := share.Number(number)
			id, ok := it.assign[number]
			if !ok || it.placed[number] != "" {
				continue
			}
			g := byServer[id]
			if g == nil {
				g = &give{server: b.servers[id]}
				byServer[id] = g
				gives = append(gives, g)
			}
			g.add(it, number)
		}
	}
	return gives
}

func (g *give) add(it *item, number share.Number) {
	if slices.Contains(it.held[g.server.ID], number) {
		g.renewed = append(g.renewed, it.Index)
		it.had += int64(len(it.Shares[number]))
	}
	g.items = append(g.items, it)
	g.shares = append(g.shares, share.WholeShare{Index: it.Index, Number: number, Data: it.Shares[number]})
}

// exchange gives every server its shares and notes what was acknowledged. Once enough servers have answered, the others may
// take a few times as long as those did.
func (b *batch) exchange(ctx context.Context, gives []*give) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan *give, len(gives))
	var giving sync.WaitGroup
	defer giving.Wait()
	for _, g := range gives {
		giving.Go(func() {
			b.hand(ctx, g)
			done <- g
		})
	}
	start := time.Now()
	limit := awake.NewTimer(stallTime)
	defer limit.Stop()
	for left := len(gives); left > 0; {
		select {
		case g := <-done:
			left--
			b.took(ctx, g)
			if len(gives)-left == min(len(gives), b.o.Params.Happy) {
				limit.Reset(max(patience, tolerance*time.Since(start)))
			}
		case <-limit.C:
			cancel(errLagging)
		}
	}
}

// hand gives one server its shares: what it has already is leased anew, the rest sent.
func (b *batch) hand(ctx context.Context, g *give) {
	lease := b.lease()
	g.errs = make([]error, len(g.shares))
	renewed := map[share.StorageIndex]bool{}
	if len(g.renewed) > 0 {
		if err := g.server.Store.Renew(ctx, g.renewed, lease); err == nil {
			for _, index := range g.renewed {
				renewed[index] = true
			}
		}
	}
	var positions []int
	var shares []share.WholeShare
	for i, s := range g.shares {
		if !renewed[s.Index] || !slices.Contains(g.items[i].held[g.server.ID], s.Number) {
			positions = append(positions, i)
			shares = append(shares, s)
		}
	}
	if len(shares) == 0 {
		return
	}
	errs, err := b.put(ctx, g.server, shares, lease)
	if err != nil {
		g.err = err
		return
	}
	for i, position := range positions {
		g.errs[position] = errs[i]
	}
}

// put sends shares in as few exchanges as the bounds of a batch allow.
func (b *batch) put(ctx context.Context, s share.Server, shares []share.WholeShare, lease share.Lease) ([]error, error) {
	batcher, ok := s.Store.(share.Batcher)
	if !ok {
		return b.putEach(ctx, s, shares, lease), nil
	}
	var all []error
	for len(shares) > 0 {
		n, bytes := 0, 0
		for n < len(shares) && n < share.MaxBatchShares && (n == 0 || bytes+len(shares[n].Data) <= share.MaxBatchBytes) {
			bytes += len(shares[n].Data)
			n++
		}
		errs, err := batcher.Put(ctx, shares[:n], lease)
		if err == nil && len(errs) != n {
			err = fmt.Errorf("%w: %d answers for %d shares", share.ErrCorrupt, len(errs), n)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, errs...)
		shares = shares[n:]
	}
	return all, nil
}

// putEach stores shares one by one.
func (b *batch) putEach(ctx context.Context, s share.Server, shares []share.WholeShare, lease share.Lease) []error {
	errs := make([]error, len(shares))
	for i, w := range shares {
		errs[i] = putWhole(ctx, s.Store, w, lease)
		if ctx.Err() != nil {
			for ; i < len(shares); i++ {
				errs[i] = ctx.Err()
			}
			break
		}
	}
	return errs
}

// putWhole stores one whole share in a Store that takes no batches.
func putWhole(ctx context.Context, store share.Store, s share.WholeShare, lease share.Lease) error {
	whole, err := encoding.ParseWhole(s.Index, s.Number, s.Data)
	if err != nil {
		return err
	}
	l := whole.Root.Layout()
	w, err := store.Create(ctx, share.Upload{
		ID: share.UploadID(s.Index[:]), Number: s.Number, Needed: l.Needed, Total: l.Total, BlockSize: l.BlockSize, Size: l.Size, Lease: lease,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	for i := range l.Segments() {
		row, block := whole.Segment(i)
		if err := w.Append(ctx, row, block); err != nil {
			return err
		}
	}
	return w.Commit(ctx, whole.Root.Marshal())
}

// took notes what a server has acknowledged.
func (b *batch) took(ctx context.Context, g *give) {
	why := func(err error) error {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
			return cause
		}
		return err
	}
	if g.err != nil {
		b.fail(g.server, why(g.err))
		return
	}
	for i, err := range g.errs {
		if err != nil {
			b.fail(g.server, why(err))
			continue
		}
		g.items[i].placed[g.shares[i].Number] = g.server.ID
	}
}
