package grid

import (
	"context"

	"cairn/grid/health"
	"cairn/share"
)

// Spread moves shares of files that a store holds to servers that hold none of the same file, as health.Spread does, and calls done for
// each file with the shares that the store can let go of and the size of one. The servers are asked about a few hundred files at a time. It ends with the
// first error that done returns.
func (g *Grid) Spread(ctx context.Context, from share.Store, servers []share.Server, indexes []share.StorageIndex, done func(index share.StorageIndex, made []health.Made, size int64, err error) error) error {
	asked := g.askTheseAhead(ctx, servers, indexes, false)
	others := make([]share.Server, len(servers))
	for i, server := range servers {
		others[i] = asked[server.ID]
	}
	for _, index := range indexes {
		made, size, err := health.Spread(ctx, from, others, index, health.Options{Lease: g.lease(), Logger: g.Logger})
		if err := done(index, made, size, err); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
