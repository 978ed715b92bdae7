package file

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cairn/internal/awake"
	"cairn/share"
	"cairn/share/encoding"
)

// discardTime bounds how long servers are asked to drop what a failed upload has left, discardWait how long the upload waits
// for that where it can go on in the background.
const (
	discardTime = 10 * time.Second
	discardWait = time.Second
)

// LetGo ends the leases on what the upload has placed, of which its caller makes no use: after an error, or where the copy failed without
// which the file is not wanted. Who does not answer at once is left alone. Others are servers on which the caller has placed shares of the file
// since.
//
// An upload without Resume had a key of its own, so that all there is of it came from it. Of one that can be resumed only what lies in stores of this
// process is let go of, where the owner had no lease on the file before: other nodes do not tell. Whoever goes on within a day finds it there. It has
// ended when LetGo returns. It is not to be called where another upload or batch with the same key was under way at the same time: what that one counts on
// would lose its lease too.
func (r Result) LetGo(others ...share.Server) {
	if r.letGo != nil {
		r.letGo(others)
	}
}

// release ends the leases on the shares of the upload.
func (u *upload) release(ctx context.Context, others []share.Server) {
	release := func(ctx context.Context) {
		u.cancel()
		u.running.Wait()
		var releasing sync.WaitGroup
		for _, s := range append(u.releasable(), others...) {
			releasing.Go(func() {
				releaseOn(ctx, s, u.o.Owner, []share.StorageIndex{share.IndexOf(u.root)}, u.o.Log)
			})
		}
		releasing.Wait()
	}
	if !u.o.Resume {
		u.later(ctx, release)
		return
	}
	// The next upload of the file begins after this.
	ctx, cancel := awake.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	release(ctx)
}

func releaseOn(ctx context.Context, s share.Server, owner string, indexes []share.StorageIndex, log *slog.Logger) {
	releaser, ok := s.Store.(share.Releaser)
	if !ok {
		return
	}
	if err := releaser.Release(ctx, owner, indexes); err != nil {
		log.Debug("a server keeps shares of a failed upload until their leases end", "server", s.String(), "files", len(indexes), "error", err)
	}
}

// releasable returns the servers that may have shares which nobody wants once the upload has failed.
func (u *upload) releasable() []share.Server {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []share.Server
	seen := map[share.ServerID]bool{}
	for _, b := range u.began {
		if id := b.server.ID; !seen[id] && (!u.o.Resume || u.fresh[id]) {
			seen[id] = true
			all = append(all, b.server)
		}
	}
	return all
}

// noteFresh notes, before a share is committed to a store of this process or its lease renewed there, whether the file has no lease of the owner there.
func (l *lane) noteFresh(ctx context.Context, index share.StorageIndex) {
	mover, ok := l.server.Store.(share.Mover)
	if !ok || !l.u.o.Resume || !unleased(ctx, mover, index, l.u.o.Owner) {
		return
	}
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	l.u.fresh[l.server.ID] = true
}

// unleased reports whether a file certainly has no lease of an owner in a store.
func unleased(ctx context.Context, store share.Mover, index share.StorageIndex, owner string) bool {
	leases, err := store.Leases(ctx, index)
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		return false
	}
	return !slices.ContainsFunc(leases, func(h share.Lease) bool { return h.Owner == owner })
}

// noteFresh notes, before anything is given to stores of this process, in which of them files have no lease of the owner.
func (b *batch) noteFresh(ctx context.Context, items []*item) {
	if b.o.Alone == nil {
		return
	}
	for _, s := range b.order {
		mover, ok := s.Store.(share.Mover)
		if !ok {
			continue
		}
		for _, it := range items {
			if unleased(ctx, mover, it.Index, b.o.Owner) {
				it.fresh = append(it.fresh, s.ID)
			}
		}
	}
}

// release ends the leases that files which were not stored have brought to stores of this process.
func (b *batch) release(ctx context.Context, files []SmallFile, items []*item) {
	left := map[share.ServerID][]share.StorageIndex{}
	for i, it := range items {
		if len(it.fresh) == 0 || b.happy(it) || !b.o.Alone(files[i].Key) {
			continue
		}
		for _, id := range it.fresh {
			left[id] = append(left[id], it.Index)
		}
	}
	// The next upload of these files begins after this.
	ctx, cancel := awake.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	for id, indexes := range left {
		releaseOn(ctx, b.servers[id], b.o.Owner, indexes, b.o.Log)
	}
}

// discard has the servers drop what an upload has left unfinished that nobody can resume, because its key was for this time only. Otherwise
// it would count for the owner until they forget it by themselves. Who does not answer at once is left alone.
func (u *upload) discard(ctx context.Context) {
	if u.o.Resume {
		return
	}
	u.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(u.began), func(b beginning) bool { return u.placed[b.number].ID == b.server.ID })
	u.mu.Unlock()
	u.later(ctx, func(ctx context.Context) {
		var dropping sync.WaitGroup
		for _, place := range left {
			dropping.Go(func() { u.drop(ctx, place) })
		}
		dropping.Wait()
	})
}

// later has something done in the background where there is one, and waits a moment for it; otherwise at once, unless the caller has gone.
func (u *upload) later(ctx context.Context, do func(context.Context)) {
	limited := func(ctx context.Context) {
		ctx, cancel := awake.WithTimeout(ctx, discardTime)
		defer cancel()
		do(ctx)
	}
	if u.o.Background == nil {
		if ctx.Err() == nil {
			limited(ctx)
		}
		return
	}
	done := make(chan struct{})
	u.o.Background(func(ctx context.Context) {
		defer close(done)
		limited(ctx)
	})
	patience := time.NewTimer(discardWait)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// A beginning is a share whose upload to a server was begun.
type beginning struct {
	server share.Server
	number share.Number
}

// drop begins the upload again in another shape, which replaces what is there, and leaves it empty.
func (u *upload) drop(ctx context.Context, b beginning) {
	blockSize := encoding.MinBlockSize
	if u.o.BlockSize == blockSize {
		blockSize *= 2
	}
	w, err := b.server.Store.Create(ctx, share.Upload{
		ID: u.id, Number: b.number, Needed: u.o.Params.Needed, Total: u.o.Params.Total, BlockSize: blockSize, Size: -1,
		Lease: share.Lease{Owner: u.o.Owner, Expires: time.Now().Add(u.o.Lease)},
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		u.o.Log.Debug("a server keeps the beginning of a share for a while", "server", b.server.String(), "share", b.number, "error", err)
	}
}
