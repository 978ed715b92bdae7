package file

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/share"
	"cairn/share/encoding"
)

// A CopyError says that what was stored has no complete copy on the server that was to keep one. The file itself is stored all the same.
type CopyError struct {
	Server share.Server
	Err    error
}

func (e *CopyError) Error() string {
	return fmt.Sprintf("the file is stored, but %s has no complete copy: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *CopyError) Unwrap() error { return e.Err }

// addCopies adds the lanes of the copy.
func (u *upload) addCopies() {
	if u.o.Copy.Store == nil {
		return
	}
	for number := range u.o.Params.Needed {
		l := &lane{u: u, number: share.Number(number), copies: true, server: u.o.Copy, queue: make(chan *encoding.Segment, u.buffers), giveUp: func(error) {}}
		l.move(sending)
		u.copies = append(u.copies, l)
	}
}

// waitForCopies waits until the copy is complete, or has failed.
func (u *upload) waitForCopies(ctx context.Context) {
	if len(u.copies) == 0 {
		return
	}
	done := make(chan struct{})
	u.running.Go(func() {
		u.copying.Wait()
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// keepCopies stores the first k shares of files on the server that is to have copies of them. A file of which it has them is not sent again.
func (b *batch) keepCopies(ctx context.Context, items []*item) {
	if b.o.Copy.Store == nil {
		return
	}
	lease := b.lease()
	var missing []*item
	indexes := make([]share.StorageIndex, len(items))
	for i, it := range items {
		indexes[i] = it.Index
	}
	held, err := b.o.Copy.Store.Numbers(ctx, indexes)
	var there []share.StorageIndex
	for i, it := range items {
		switch {
		case it.err != nil || !b.happy(it):
		case err == nil && len(held) == len(items) && has(held[i].Numbers, b.o.Params.Needed):
			there = append(there, it.Index)
		default:
			missing = append(missing, it)
		}
	}
	if err == nil && len(there) > 0 {
		err = b.o.Copy.Store.Renew(ctx, there, lease)
	}
	for group := range slices.Chunk(missing, max(1, share.MaxBatchShares/b.o.Params.Needed)) {
		b.copyGroup(ctx, group, lease)
	}
	for _, it := range items {
		if err != nil && it.copyErr == nil {
			it.copyErr = err
		}
	}
}

// has reports whether the first n numbers are among some.
func has(numbers []share.Number, n int) bool {
	for number := range n {
		if !slices.Contains(numbers, share.Number(number)) {
			return false
		}
	}
	return true
}

// copyGroup stores copies of some files in one exchange.
func (b *batch) copyGroup(ctx context.Context, items []*item, lease share.Lease) {
	var shares []share.WholeShare
	var of []*item
	for _, it := range items {
		for number := range b.o.Params.Needed {
			shares = append(shares, share.WholeShare{Index: it.Index, Number: share.Number(number), Data: it.Shares[number]})
			of = append(of, it)
		}
	}
	batcher, ok := b.o.Copy.Store.(share.Batcher)
	var verdicts []error
	err := errors.New("it takes no small files")
	if ok {
		verdicts, err = batcher.Put(ctx, shares, lease)
	}
	for i, it := range of {
		switch {
		case err != nil:
			it.copyErr = err
		case verdicts[i] != nil:
			it.copyErr = verdicts[i]
		}
	}
}
