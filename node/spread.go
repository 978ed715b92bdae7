package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"cairn/grid/health"
	"cairn/share"
	"cairn/share/spill"
)

const (
	// spreadFiles is how many files of the bucket other servers are asked about at a time.
	spreadFiles = 256
	// spreadAgain is how long the node waits after a pass in which no other server took anything, unless servers come meanwhile.
	spreadAgain = 10 * time.Minute
	// spreadBurst is how many bytes move at full speed before the rate holds them back: more than any block.
	spreadBurst = 4 << 20
	// spreadErrors bounds how many files that could not be moved are named.
	spreadErrors = 10
)

// mine reports whether leases are those of this node alone: it may give such a share to another server.
func (n *Node) mine(leases []share.Lease) bool {
	now := time.Now()
	return len(leases) > 0 && !slices.ContainsFunc(leases, func(l share.Lease) bool { return l.Owner != string(n.dir.id) && l.Expires.After(now) })
}

// takers returns the servers to which shares in the bucket can go: those of other members, and the own disk up to its low mark.
func (n *Node) takers(ctx context.Context) []share.Server {
	takers := slices.DeleteFunc(n.servers.all(ctx), func(s share.Server) bool { return s.Last || s.Down })
	for i := range takers {
		if !takers[i].Local {
			continue
		}
		space, err := n.disk.Space(ctx)
		takers[i].Free = min(takers[i].Free, space.Offered*int64(n.config.Spill.Low)/100-space.Used)
		if err != nil {
			takers[i].Free = 0
		}
	}
	return takers
}

// A limited store is read no faster than its limiter lets it.
type limited struct {
	share.Store
	limiter *rate.Limiter
}

// Open opens a share.
func (l limited) Open(ctx context.Context, index share.StorageIndex, number share.Number) (share.Reader, error) {
	r, err := l.Store.Open(ctx, index, number)
	if err != nil {
		return nil, err
	}
	return limitedReader{r, l.limiter}, nil
}

type limitedReader struct {
	share.Reader
	limiter *rate.Limiter
}

// ReadAt waits before it reads.
func (r limitedReader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := r.limiter.WaitN(ctx, min(len(p), spreadBurst)); err != nil {
		return 0, err
	}
	return r.Reader.ReadAt(ctx, p, off)
}

// Recheck implements share.Rechecker.
func (l limited) Recheck(ctx context.Context, index share.StorageIndex, number share.Number, segment int64) (held bool, err error) {
	rechecker, ok := l.Store.(share.Rechecker)
	if !ok {
		return false, share.ErrDenied
	}
	return rechecker.Recheck(ctx, index, number, segment)
}

// spread gives shares of this node's files that went to the bucket, because no other server was left for them, to servers that have none of
// the same file by now. A share is read back from there and verified before the bucket lets go of it.
func (n *Node) spread(ctx context.Context, bytesPerSecond int64, servers []share.Server, report *drained) error {
	limiter := rate.NewLimiter(rate.Inf, spreadBurst)
	if bytesPerSecond > 0 {
		limiter.SetLimit(rate.Limit(bytesPerSecond))
	}
	for i := range servers {
		servers[i].Store = limited{servers[i].Store, limiter}
	}
	var errs []error
	x := n.spill
	done := func(index share.StorageIndex, made []health.Made, size int64, err error) error {
		damaged, err := health.Damages(err)
		for _, d := range damaged {
			report.lost = append(report.lost, spill.Damaged{Index: d.Index, Number: d.Number, Dropped: true, Err: d.Err})
		}
		if err != nil && ctx.Err() == nil && len(errs) < spreadErrors {
			errs = append(errs, err)
		}
		if len(made) == 0 {
			return nil
		}
		numbers := make([]share.Number, len(made))
		for i, m := range made {
			numbers[i] = m.Number
		}
		if err := x.late.Drop(ctx, index, numbers); err != nil {
			return fmt.Errorf("let go of shares of %s: %w", index, err)
		}
		report.Spread += int64(len(made))
		report.SpreadBytes += size * int64(len(made))
		x.tell(*report)
		return nil
	}
	for after := (share.StorageIndex{}); ; {
		indexes, err := x.late.List(ctx, after, spreadFiles)
		if err != nil || len(indexes) == 0 {
			return errors.Join(append(errs, err)...)
		}
		after = indexes[len(indexes)-1]
		own := slices.DeleteFunc(indexes, func(index share.StorageIndex) bool {
			leases, err := x.late.Leases(ctx, index)
			return err != nil || !n.mine(leases) // a copy that stays has a lease of another name
		})
		if len(own) == 0 {
			continue
		}
		if err := n.grid.Spread(ctx, limited{x.store.FarSide(), limiter}, servers, own, done); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
}

// names returns who takes shares, to notice that somebody else does.
func names(servers []share.Server) string {
	var ids []string
	for _, s := range servers {
		if s.Free > 0 {
			ids = append(ids, string(s.ID))
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}
