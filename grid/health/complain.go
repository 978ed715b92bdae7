package health

import (
	"context"
	"errors"
	"io"
	"slices"

	"cairn/internal/awake"
	"cairn/share"
)

// complain has a server look for itself at a share that did not verify because of err. It reports whether the server does not hold it any more:
// then a new one can be stored there. One that goes on telling that it holds the share is not believed.
func complain(ctx context.Context, server share.Server, index share.StorageIndex, number share.Number, err error) (dropped bool) {
	segment := share.NoSegment
	if corrupt, ok := errors.AsType[*share.CorruptShareError](err); ok {
		segment = corrupt.Segment
	} else if !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrNotFound) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	rechecker, ok := server.Store.(share.Rechecker)
	if !ok {
		return false
	}
	ctx, cancel := awake.WithTimeout(ctx, readTimeout)
	defer cancel()
	if held, err := rechecker.Recheck(ctx, index, number, segment); err != nil || held {
		return false
	}
	held, err := askHeld(ctx, server, index)
	return err == nil && !slices.Contains(held.Numbers, number)
}
