package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

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
		return ctx, n.noBucket("keep a copy: ", " that copies could go to", "store it without --keep-copy")
	case n.spill.opened() == nil:
		return ctx, &control.Error{
			Code: control.CodeFailed, Message: "keep a copy: the bucket " + n.spill.where.URL() + " is not in use: " + n.spill.why(),
			Hint: "\"cairn spill test\" says more; store it without --keep-copy, or with --keep-copy none where the settings want copies",
		}
	}
	return grid.KeepCopy(ctx), nil
}

// explainBucket says once, where too few servers took something or gave what was to be read, that the bucket which could have is in trouble, and
// how to find out more.
func (n *Node) explainBucket(err error) error {
	if err == nil {
		return nil
	}
	told := *control.ErrorOf(err)
	_, reads := errors.AsType[*share.NotEnoughSharesError](err)
	url, test, bucket, trouble := n.bucketTrouble()
	if bucket != nil {
		reading, writing := bucket.Met()
		if reads {
			trouble = justMet(reading) // whether it takes anything is another matter
		} else {
			trouble = cmp.Or(trouble, justMet(writing))
		}
	}
	if trouble == nil || told.Code != control.CodeNotEnough || strings.Contains(told.Hint, test) {
		return err
	}
	what, again := "takes nothing now", "running the same command again continues where it stopped"
	if reads {
		what, again = "does not give what is in it", "try again when that is mended"
	}
	says := fmt.Sprintf("the bucket %s %s: %s; %s tries it out", url, what, s3.Explain(trouble), test)
	if n.host != nil && n.disk == nil && n.company() == (company{}) { // there is nothing else that could help
		told.Hint = says + "; " + again
	} else {
		told.Hint = strings.TrimPrefix(told.Hint+"; "+says, "; ")
	}
	return &told
}

// bucketTrouble returns what keeps the node's bucket from taking anything, as far as is known, the command that says more, and the bucket where it is open.
func (n *Node) bucketTrouble() (url, test string, bucket *s3.Store, trouble error) {
	switch {
	case n.own != nil:
		return n.own.where.URL(), "\"cairn storage test\"", n.own.opened(), n.own.problem()
	case n.spill != nil:
		n.spill.mu.Lock()
		defer n.spill.mu.Unlock()
		return n.spill.where.URL(), "\"cairn spill test\"", n.spill.bucket, n.spill.trouble()
	}
	return "", "", nil, nil
}

// justMet returns what a request met a moment ago.
func justMet(met *s3.Met) error {
	if met == nil || time.Since(met.At) >= metJust {
		return nil
	}
	return met.Err
}

// metJust is how long ago a request may have failed that is the reason why a person's command has.
const metJust = 40 * time.Second

// An explainedFile is a file that is read, as far as its shares are there, from the node's bucket.
type explainedFile struct {
	control.File
	n *Node
}

// WriteTo implements control.File.
func (f explainedFile) WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	written, err := f.File.WriteTo(ctx, w, off, n)
	return written, f.n.explainBucket(err)
}

// explained returns a file that tells of the bucket where reading it fails.
func (n *Node) explained(f control.File, err error) (control.File, error) {
	if err != nil || n.own == nil && n.spill == nil {
		return f, n.explainBucket(err)
	}
	return explainedFile{f, n}, nil
}

// why says in plain words why the bucket is not open.
func (x *spilling) why() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return s3.Explain(cmp.Or(x.problem, errOpening))
}
