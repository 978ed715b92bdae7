package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/doctor"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/s3"
	"cairn/share/spill"
)

// When the bucket is looked after.
const (
	openBucketWithin = 20 * time.Second
	openSpillWithin  = 5 * time.Second
	openBucketAgain  = 30 * time.Second
	refusedFor       = 90 * time.Second // more than what lies between two questions of the store
	drainEvery       = time.Minute
)

// Bucket returns the bucket of the configuration with its credentials, and false where none is set. Its errors tell nothing of
// the credentials.
func (d *Dir) Bucket(c config.Config) (s3.Config, bool, error) {
	if c.Spill.Bucket == "" {
		return s3.Config{}, false, nil
	}
	b, err := spillBucket(c)
	if err != nil {
		return s3.Config{}, false, err
	}
	if err := d.completeBucket(&b, c); err != nil {
		return b, false, err
	}
	return b, true, nil
}

// A spilling is the bucket behind the disk, or of a node without one.
type spilling struct {
	store *spill.Store
	late  *spill.Late
	where s3.Config
	rate  int64
	gauge gauge         // of the disk up to its mark
	turn  chan struct{} // has one element while a pass goes on

	mu      sync.Mutex // guards what follows
	bucket  *s3.Store  // nil until it is open
	problem error      // why it is not
	refused error      // why it did not take what it was given last, nil when it did
	given   time.Time  // when that was
	passes
}

// openSpill puts a bucket behind the disk, or, in a node that lends nothing, in the place of one. One that cannot be opened now is tried again and again while the node runs.
func (n *Node) openSpill(ctx context.Context) error {
	where, set, err := n.dir.Bucket(n.config)
	if err != nil || !set || n.own != nil {
		return err
	}
	where.Logger, where.OnBad = n.log.With("part", "bucket"), n.badInBucket
	c := n.config.Spill
	x := &spilling{late: &spill.Late{}, where: where, rate: int64(c.Rate), turn: make(chan struct{}, 1)}
	x.late.OnWrite = x.wrote
	near := spill.Part(n.disk)
	if n.disk == nil {
		near = memory.New(memory.Options{Offer: 1}) // which takes nothing
	}
	x.store = spill.New(near, x.late, spill.Options{
		High: float64(c.High) / 100, Low: max(float64(c.Low)/100, 1e-9), Limit: int64(c.Offer), Logger: n.log.With("part", "spill"),
	})
	n.spill, n.store = x, x.store
	life, stop := context.WithCancel(context.Background())
	tried := make(chan struct{})
	var task sync.WaitGroup
	task.Go(func() { n.keepSpilling(life, tried) })
	n.opened(closerFunc(func() error {
		stop()
		task.Wait()
		if x.bucket != nil {
			return x.bucket.Close()
		}
		return nil
	}))
	select {
	case <-tried:
	case <-time.After(openSpillWithin):
		n.log.Warn("the bucket is not open yet, what is in it is not served: its index is being computed, or its server does not answer",
			"part", "spill", "bucket", where.URL())
	case <-ctx.Done():
		return ctx.Err()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, other := errors.AsType[*s3.OtherError](x.problem); other {
		return x.problem
	}
	return nil
}

// openBucket opens the bucket unless it is open, and reports whether it is.
func (n *Node) openBucket(ctx context.Context) bool {
	x := n.spill
	if x.bucket != nil {
		return true
	}
	opened, err := s3.Open(ctx, x.where)
	if err != nil && ctx.Err() != nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		if x.problem == nil || x.problem.Error() != err.Error() {
			n.log.Warn("the bucket cannot be opened, what is in it is not served", "part", "spill", "bucket", x.where.URL(), "error", err)
			n.history.add(control.Event{Kind: control.KindSpillFailed, Text: "the bucket " + x.where.URL() + " cannot be opened", Reason: s3.Explain(err)})
		}
		x.problem = err
		return false
	}
	x.bucket, x.problem = opened, nil
	x.late.Set(opened)
	n.gauge.expire() // what was measured before is that the bucket has no room
	return true
}

// diagnoseSpill says whether what is in the bucket is served.
func (n *Node) diagnoseSpill(ctx context.Context) []doctor.Check {
	if n.spill == nil {
		return nil
	}
	lost := lostBucket(ctx, n.spill.opened())
	n.spill.mu.Lock()
	defer n.spill.mu.Unlock()
	problem := lost
	if why := n.spill.trouble(); why != nil {
		problem = s3.Explain(why)
	}
	return []doctor.Check{doctor.Bucket(n.spill.where.URL(), problem, len(n.spill.last.damaged()))}
}

// trouble returns why the bucket is not open, or takes nothing; nil when all is well. x.mu is held.
func (x *spilling) trouble() error {
	if x.bucket == nil {
		return cmp.Or(x.problem, errOpening)
	}
	problem := x.bucket.Problem()
	if problem == nil && s3.Temporary(x.refused) && time.Since(x.given) > refusedFor {
		return nil // it has answered since
	}
	return cmp.Or(problem, x.refused)
}

// wrote notes how the last attempt to store something in the bucket ended.
func (x *spilling) wrote(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refused, x.given = err, time.Now()
}

// noBucket refuses what needs a bucket behind the disk. What begins with "before" says what needs it, and what can be done without one follows "instead".
func (n *Node) noBucket(before, after, instead string) error {
	refused := &control.Error{Code: control.CodeRefused, Message: before + "no bucket is set" + after}
	if n.own != nil {
		refused.Message = before + "this node keeps all its shares in a bucket, " + n.own.where.URL() + ", and has no other one"
		refused.Hint = cmp.Or(instead, "\"cairn status\" shows what is in it")
		return refused
	}
	refused.Hint = "set one with \"cairn spill set s3://BUCKET/PREFIX\" and start the node again"
	if instead != "" {
		refused.Hint += ", or " + instead
	}
	return refused
}

// Spill says how it stands with the bucket behind the disk.
func (a api) Spill(ctx context.Context) (control.Spill, error) {
	x := a.n.spill
	if x == nil {
		return control.Spill{}, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s := control.Spill{Bucket: x.where.URL(), Endpoint: x.where.Endpoint, NoDisk: a.n.disk == nil, Drained: x.ended, DrainResult: x.last.result()}
	if x.now != nil {
		now := x.now.result()
		s.Draining = &now
	}
	if why := x.trouble(); why != nil {
		s.Problem = s3.Explain(why)
		_, s.Locked = errors.AsType[*s3.LockedError](why)
	}
	if x.bucket == nil {
		return s, nil
	}
	s.BucketUse = bucketUse(x.bucket, a.n.config.Bucket)
	space, err := x.bucket.Space(ctx)
	s.Used = space.Used
	return s, err
}

// maxSpilled bounds a list of what is in the bucket.
const maxSpilled = 10_000

// spilled lists the files of which shares are in the bucket, and the names of which heads are.
func (x *spilling) spilled(ctx context.Context) ([]control.Spilled, error) {
	all := []control.Spilled{}
	indexes, err := x.late.List(ctx, share.StorageIndex{}, maxSpilled)
	if err != nil {
		return all, err
	}
	held, err := x.late.Numbers(ctx, indexes)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		leases, err := x.store.Leases(ctx, h.Index)
		if errors.Is(err, share.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f := control.Spilled{File: h.Index.String()}
		if f.Copy, err = x.store.Kept(ctx, h.Index); err != nil {
			return nil, err
		}
		for _, n := range h.Numbers {
			f.Shares = append(f.Shares, int(n))
		}
		for _, l := range leases {
			f.Owners = append(f.Owners, l.Owner)
		}
		all = append(all, f)
	}
	names, err := x.late.Names(ctx, share.Name{}, maxSpilled)
	for _, name := range names {
		all = append(all, control.Spilled{Name: name.String()})
	}
	return all, err
}

// EndSpill has the bucket take nothing more until the node starts again, and lists what is in it. Where that is something, and it
// is not to be given up, or cannot be told, the bucket goes on.
func (a api) EndSpill(ctx context.Context, request control.EndSpillRequest) ([]control.Spilled, error) {
	x := a.n.spill
	if x == nil {
		return []control.Spilled{}, nil
	}
	if request.Undo {
		x.late.Shut(false)
		return []control.Spilled{}, nil
	}
	x.late.Shut(true)
	if x.opened() == nil {
		if !request.Abandon {
			x.late.Shut(false)
		}
		return []control.Spilled{}, fmt.Errorf("what is in the bucket %s cannot be told: %s", x.where.URL(), x.why())
	}
	left, err := x.spilled(ctx)
	if !request.Abandon && (err != nil || len(left) > 0) {
		x.late.Shut(false)
	}
	return left, err
}
