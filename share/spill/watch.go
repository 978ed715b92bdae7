package spill

import (
	"context"
	"errors"

	"cairn/share"
)

// told tells how an attempt to store something ended, unless that was the caller's doing.
func (l *Late) told(ctx context.Context, err error) error {
	if l.OnWrite == nil || ctx.Err() != nil || errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrConflict) {
		return err
	}
	l.OnWrite(err)
	return err
}

// A watchedWriter tells how an upload ended.
type watchedWriter struct {
	share.Writer
	late *Late
}

// Append tells of a failure.
func (w watchedWriter) Append(ctx context.Context, digests []share.Digest, block []byte) error {
	err := w.Writer.Append(ctx, digests, block)
	if err != nil {
		return w.late.told(ctx, err)
	}
	return nil
}

// Commit tells of both.
func (w watchedWriter) Commit(ctx context.Context, root []byte) error {
	return w.late.told(ctx, w.late.store(func() error { return w.Writer.Commit(ctx, root) }))
}
