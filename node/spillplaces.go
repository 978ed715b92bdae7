package node

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"cairn/grid"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/s3"
)

// bucketName is what the bucket behind the disk of this node is called among the servers of this node's files.
const bucketName = "bucket"

// places returns the disk and the bucket behind it as the two servers that they are for files of this node: a share goes to the bucket when no
// other server is left that has none. Where there is no disk the bucket is the node's own store.
func (x *spilling) places(ctx context.Context, n *Node) []share.Server {
	far := n.self(x.store.FarSide(), 0)
	far.Last, far.Down = true, x.opened() == nil
	if bucket := x.opened(); bucket != nil {
		far.Trouble = bucket.Problem()
		if space, err := x.store.FarSide().Space(ctx); err == nil && far.Trouble == nil {
			far.Free = space.Free
		}
	}
	if n.disk == nil {
		return []share.Server{far}
	}
	far.ID, far.Nickname = control.BucketOf(n.dir.id), bucketName
	near := n.self(x.store.NearSide(), 0)
	space, err := x.gauge.read(ctx, x.store.NearSide())
	if err != nil {
		n.log.Warn("cannot measure the disk", "error", err)
	}
	near.Free = space.Free
	return []share.Server{near, far}
}

// opened returns the bucket, nil as long as it is not open.
func (x *spilling) opened() *s3.Store {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bucket
}

// copyPlace returns the bucket as the place for complete copies, false where there is none.
func (n *Node) copyPlace(context.Context) (share.Server, bool) {
	if n.spill == nil {
		return share.Server{}, false
	}
	s := n.self(n.spill.store.CopySide(), 0)
	s.ID, s.Nickname, s.Last, s.Down = n.dir.id+"/copy", bucketName, true, n.spill.opened() == nil
	return s, true
}

// copies returns a context that has copies kept of what is stored, where the request or else the settings want that.
func (n *Node) copies(ctx context.Context) (context.Context, error) {
	switch wish := control.CopyWishOf(ctx); {
	case wish == control.CopyNone, wish == control.CopyAsSet && !n.config.Spill.KeepCopy:
		return ctx, nil
	case n.spill == nil:
		return ctx, &control.Error{
			Code: control.CodeRefused, Message: "keep a copy: no bucket is set that copies could go to",
			Hint: "set one with \"cairn spill set s3://BUCKET/PREFIX\" and start the node again, or store it without --keep-copy",
		}
	case n.spill.opened() == nil:
		return ctx, &control.Error{
			Code: control.CodeFailed, Message: "keep a copy: the bucket " + n.spill.where.URL() + " is not in use: " + n.spill.why(),
			Hint: "\"cairn spill test\" says more; store it without --keep-copy, or with --keep-copy none where the settings want copies",
		}
	}
	return grid.KeepCopy(ctx), nil
}

// explainBucket says once, where too few servers took something, that the bucket which could have taken the rest is in trouble.
func (n *Node) explainBucket(err error) error {
	if err == nil {
		return nil
	}
	url, trouble := "", error(nil)
	switch {
	case n.own != nil:
		url, trouble = n.own.where.URL(), n.own.problem()
	case n.spill != nil:
		n.spill.mu.Lock()
		url, trouble = n.spill.where.URL(), n.spill.trouble()
		n.spill.mu.Unlock()
	}
	told := *control.ErrorOf(err)
	says := fmt.Sprintf("the bucket %s takes nothing now: ", url)
	if trouble == nil || told.Code != control.CodeNotEnough || strings.Contains(told.Hint, says) {
		return err
	}
	told.Hint = strings.TrimPrefix(told.Hint+"; "+says+s3.Explain(trouble), "; ")
	return &told
}

// why says in plain words why the bucket is not open.
func (x *spilling) why() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return s3.Explain(cmp.Or(x.problem, errOpening))
}
