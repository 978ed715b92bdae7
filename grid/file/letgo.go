package file

import (
	"context"
	"errors"
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
// ended when LetGo returns. Files as small as those of batches stay, because a batch may have stored the same one meanwhile.
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
			releasing.Go(func() { u.releaseOn(ctx, s) })
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

func (u *upload) releaseOn(ctx context.Context, s share.Server) {
	releaser, ok := s.Store.(share.Releaser)
	if !ok {
		return
	}
	if err := releaser.Release(ctx, u.o.Owner, []share.StorageIndex{share.IndexOf(u.root)}); err != nil {
		u.o.Log.Debug("a server keeps a share of a failed upload until its lease ends", "server", s.String(), "error", err)
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
	if !ok || !l.u.o.Resume || l.u.o.Size <= SmallSize(l.u.o.Params) {
		return
	}
	leases, err := mover.Leases(ctx, index)
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		return
	}
	if !slices.ContainsFunc(leases, func(h share.Lease) bool { return h.Owner == l.u.o.Owner }) {
		l.u.mu.Lock()
		defer l.u.mu.Unlock()
		l.u.fresh[l.server.ID] = true
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
