package file

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// discardTime bounds how long servers are asked to drop what a failed upload has left, discardWait how long the upload waits
// for that where it can go on in the background.
const (
	discardTime = 10 * time.Second
	discardWait = time.Second
)

// within returns on how many servers the upload can still place shares, or has. u.mu is held.
func (u *upload) within() int {
	can := map[share.ServerID]bool{}
	for _, l := range u.lanes {
		if l.server.Store != nil && !l.lost.Load() {
			can[l.server.ID] = true
		}
	}
	for _, p := range u.places {
		if !p.Full && p.Free > 0 && p.Free >= u.shareSize() {
			can[p.ID] = true
		}
	}
	return len(can)
}

// refusedByQuota reports whether a server takes no more because of a quota. u.mu is held.
func (u *upload) refusedByQuota() bool {
	return slices.ContainsFunc(u.failures, func(err error) bool { return errors.Is(err, share.ErrQuota) })
}

// overQuota reports whether quotas leave too few servers for the upload to become happy. To go on would fill their disks
// with what is of no use: unlike a server that is down or full, a quota does not go away by itself.
func (u *upload) overQuota() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refusedByQuota() && u.within() < u.o.Params.Happy
}

// discard has the servers drop what an upload has left that nobody can resume, because its key was for this time only. Otherwise
// it would count for the owner until they forget it by themselves. Who does not answer at once is left alone.
func (u *upload) discard(ctx context.Context) {
	if u.o.Resume {
		return
	}
	u.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(u.began), func(b beginning) bool { return u.placed[b.number].ID == b.server.ID })
	u.mu.Unlock()
	drop := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, discardTime)
		defer cancel()
		var dropping sync.WaitGroup
		for _, place := range left {
			dropping.Go(func() { u.drop(ctx, place) })
		}
		dropping.Wait()
	}
	if u.o.Background == nil {
		if ctx.Err() == nil {
			drop(ctx)
		}
		return
	}
	done := make(chan struct{})
	u.o.Background(func(ctx context.Context) {
		defer close(done)
		drop(ctx)
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
