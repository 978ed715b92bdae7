package node

import (
	"context"

	"cairn/share"
	"cairn/share/s3"
)

// bucketName is what the bucket behind the disk of this node goes by, among the servers of this node's files and after its id. To others it
// is a part of this node.
const bucketName = "bucket"

// bucketID returns the id of the bucket behind the disk of a node.
func bucketID(node share.ServerID) share.ServerID { return node + "/" + bucketName }

// places returns the disk and the bucket behind it as the two servers that they are for files of this node: a share goes to the bucket when no
// other server is left that has none. Where there is no disk the bucket is the node's own store.
func (x *spilling) places(ctx context.Context, n *Node) []share.Server {
	far := n.self(x.store.FarSide(), 0)
	far.Last, far.Down = true, x.opened() == nil
	if space, err := x.store.FarSide().Space(ctx); err == nil {
		far.Free = space.Free
	}
	if n.disk == nil {
		return []share.Server{far}
	}
	far.ID, far.Nickname = bucketID(n.dir.id), bucketName
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
