package storage

import (
	"context"
	"errors"
	"sync"

	"cairn/share"
)

// Who has reached a quota must still be able to remove things, and to remove a name is to write a version of a directory that lacks it. So
// a version that is no larger than what it drops is taken beyond the quota: within a margin as any other; beyond it too, but then
// nothing is kept of what it replaces.
const (
	// marginPart is which part of its quota a peer's account may have beyond it for such versions; ServerOptions.Margin bounds it.
	marginPart = 16
	// lighterBy is by how much such a version may be larger within the margin: pages of directories do not shrink evenly.
	lighterBy = 4 << 10
)

// setHeadWithin stores a version if the quota allows it, or if it is one with which somebody removes things.
func (c *conn) setHeadWithin(ctx context.Context, store share.HeadStore, u share.HeadUpdate) error {
	record := int64(len(u.Record))
	err := c.growWithin(ctx, record, u.Shares, u.Adds, func() error { return store.SetHead(ctx, u) })
	accounter, accounts := c.server.store.(share.Accounter)
	if c.server.options.Margin <= 0 || !accounts || u.Replaces == (share.Digest{}) || !errors.Is(err, share.ErrQuota) {
		return err
	}
	dropped, own, unknown := c.dropped(ctx, accounter, u.Drops)
	if unknown != nil {
		return unknown
	}
	_, exact, unknown := c.cost(ctx, 0, u.Shares, u.Adds)
	if unknown != nil {
		return unknown
	}
	bytes, unknown := exact()
	switch {
	case unknown != nil:
		return unknown
	case bytes > dropped+lighterBy:
		return err
	}
	release, full := c.reserve(ctx, bytes+record, c.server.options.Margin)
	switch {
	case full == nil:
		defer release()
		return store.SetHead(ctx, u)
	case !errors.Is(full, share.ErrQuota) || bytes > own:
		return full
	}
	u.Retention = share.Retention{Versions: 1}
	return c.replace(ctx, store, u, bytes+record, err)
}

// nobody is an owner that has no lease: what leases would cost it is what there is.
const nobody = "nobody"

// dropped returns how many bytes are held of files, and how many of them the peer is charged with.
func (c *conn) dropped(ctx context.Context, a share.Accounter, indexes []share.StorageIndex) (all, own int64, err error) {
	if all, err = a.LeaseCost(ctx, nobody, indexes); err != nil {
		return 0, 0, err
	}
	others, err := a.LeaseCost(ctx, string(c.peer), indexes)
	return all, all - others, err
}

// replace stores a version of which nothing that it replaces is kept, so that the peer has no more afterwards than before. Where it has
// nevertheless, because something else needs what was dropped, that is within the margin in all.
func (c *conn) replace(ctx context.Context, store share.HeadStore, u share.HeadUpdate, bytes int64, refusal error) error {
	defer c.server.growing.lock(c.peer)()
	if c.server.overdrawn.of(c.peer)+bytes > c.server.options.Margin {
		return refusal
	}
	before, err := c.server.options.Quota.Standing(ctx, c.peer)
	if err != nil {
		return err
	}
	if err := store.SetHead(ctx, u); err != nil {
		return err
	}
	after, err := c.server.options.Quota.Standing(ctx, c.peer)
	if err != nil {
		after.Used = before.Used + bytes
	}
	c.server.overdrawn.add(c.peer, after.Used-before.Used)
	return nil
}

// A tally counts bytes of peers. It is safe for concurrent use.
type tally struct {
	mu    sync.Mutex // guards what follows
	bytes map[share.ServerID]int64
}

func (t *tally) of(peer share.ServerID) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes[peer]
}

// add counts what a peer has more; that it has less does not count.
func (t *tally) add(peer share.ServerID, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes > 0 {
		t.bytes[peer] += bytes
	}
}
