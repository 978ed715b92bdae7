package file

import (
	"context"
	"log/slog"
	"time"

	"cairn/internal/awake"
	"cairn/share"
)

// complainWithin bounds how long a server may take to look at what it sent; nobody reads slower for it.
const complainWithin = 2 * time.Second

// complain has a server look for itself at a share of which it sent something that does not verify: one that is damaged is not held any more
// then, and an upload or repair of the file stores it anew. It does not end with the context.
func complain(ctx context.Context, server share.Server, index share.StorageIndex, number share.Number, segment int64, log *slog.Logger) {
	rechecker, ok := server.Store.(share.Rechecker)
	if !ok {
		return
	}
	ctx, cancel := awake.WithTimeout(context.WithoutCancel(ctx), complainWithin)
	defer cancel()
	held, err := rechecker.Recheck(ctx, index, number, segment)
	log.Debug("a server was told of a bad share", "server", server.String(), "file", index.String(), "share", number, "held", held, "error", err)
}
