package grid

import (
	"context"
	"errors"
	"fmt"

	"cairn/share"
)

// ErrNoCopies says that there is no place for copies.
var ErrNoCopies = errors.New("there is no place where copies are kept")

type copyKey struct{}

// KeepCopy returns a context with which what is stored that never changes, files and pages of directories alike, gets a complete copy on the
// server of Config.Copies.
func KeepCopy(ctx context.Context) context.Context { return context.WithValue(ctx, copyKey{}, true) }

// copies returns the server that gets a copy, the zero Server where none is wanted.
func (g *Grid) copies(ctx context.Context) (share.Server, error) {
	if ctx.Value(copyKey{}) == nil {
		return share.Server{}, nil
	}
	if g.Copies == nil {
		return share.Server{}, ErrNoCopies
	}
	server, ok := g.Copies(ctx)
	if !ok {
		return share.Server{}, ErrNoCopies
	}
	if server.Down {
		return share.Server{}, fmt.Errorf("%w: %s does not answer", share.ErrUnavailable, server)
	}
	return server, nil
}
