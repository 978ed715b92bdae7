package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cairn/node/control"
	"cairn/node/doctor"
	"cairn/share/s3"
	"cairn/share/spill"
)

// A bucketStore is a bucket in which a node keeps its shares, and not behind a disk.
type bucketStore struct {
	where s3.Config
	late  *spill.Late

	mu     sync.Mutex // guards what follows
	bucket *s3.Store  // nil until it is open
	failed error      // why it is not, nil while it is being opened
}

// opened returns the bucket, nil as long as it is not open.
func (b *bucketStore) opened() *s3.Store {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bucket
}

var errOpening = errors.New("it is not open yet: its index is being computed, or its server does not answer")

// problem returns why shares cannot be stored, or not even read, nil where they can.
func (b *bucketStore) problem() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.bucket != nil:
		return b.bucket.Problem()
	case b.failed != nil:
		return b.failed
	}
	return errOpening
}

// openBucketStore opens the node's own bucket. What cannot become right without somebody's doing ends the start. A server that is away is
// tried again while the node runs, and an index that takes long to compute is waited for in the background.
func (n *Node) openBucketStore(ctx context.Context) error {
	where, _, err := n.dir.StorageBucket(n.config)
	if err != nil {
		return err
	}
	where.Logger, where.OnBad = n.log.With("part", "bucket"), n.badInBucket
	x := &bucketStore{where: where, late: &spill.Late{}}
	n.own, n.store = x, x.late
	life, stop := context.WithCancel(context.Background())
	first := make(chan error, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() { n.keepBucket(life, first) })
	n.opened(closerFunc(func() error {
		stop()
		tasks.Wait()
		if x.bucket == nil {
			return nil
		}
		return x.bucket.Close()
	}))
	select {
	case err = <-first:
	case <-time.After(openBucketWithin):
		n.log.Warn("the bucket is not open yet, what is in it is not served: its index is being computed, or its server does not answer",
			"part", "bucket", "bucket", where.URL())
	case <-ctx.Done():
		err = ctx.Err()
	}
	if s3.Temporary(err) {
		return nil
	}
	return err
}

// keepBucket opens the bucket, again and again if it must, and removes from it what nobody wants any more, until the context ends. It
// says how the first attempt ended.
func (n *Node) keepBucket(ctx context.Context, first chan<- error) {
	for wait := time.Duration(0); pause(ctx, wait); wait = openBucketAgain {
		err := n.tryBucket(ctx)
		select {
		case first <- err:
		default:
		}
		if err == nil {
			log := n.log.With("part", "bucket")
			var care sync.WaitGroup
			care.Go(func() { scrubBucket(ctx, n.own.bucket, n.config.Bucket, log, n.history.add) })
			collectBucket(ctx, n.own.bucket, log, n.history.add)
			care.Wait()
			return
		}
	}
}

// tryBucket opens the bucket. It tells of a failure once.
func (n *Node) tryBucket(ctx context.Context) error {
	x := n.own
	opened, err := s3.Open(ctx, x.where)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		x.bucket, x.failed = opened, nil
		x.late.Set(opened)
		n.gauge.expire() // what was measured before is that nothing is free
		return nil
	}
	first := x.failed == nil && !s3.Temporary(err) // the start ends with it
	if ctx.Err() == nil && !first && (x.failed == nil || x.failed.Error() != err.Error()) {
		n.log.Warn("the bucket cannot be opened, what is in it is not served", "part", "bucket", "bucket", x.where.URL(), "error", err)
		n.history.add(control.Event{Kind: control.KindBucketFailed, Text: "the bucket " + x.where.URL() + " cannot be opened", Reason: s3.Explain(err)})
	}
	x.failed = err
	return err
}

// A bucketCollector removes from a bucket what no lease is left on. s3.Store is one.
type bucketCollector interface {
	CollectDue(ctx context.Context) (s3.CollectReport, error)
}

// collectBucket has a bucket remove again and again what no lease is left on, until the context ends.
func collectBucket(ctx context.Context, bucket bucketCollector, log *slog.Logger, tell func(control.Event)) {
	collectWith(ctx, log, tell, func() (collected, error) {
		report, err := bucket.CollectDue(ctx)
		return collected{
			none: report == (s3.CollectReport{}), what: fmt.Sprintf("the shares of %d files", report.Files), count: report.Files, freed: report.Freed, detail: report,
		}, err
	})
}

// bucketStatus says how it stands with the node's own bucket, nil where there is none.
func (n *Node) bucketStatus() *control.Bucket {
	if n.own == nil {
		return nil
	}
	s := &control.Bucket{URL: n.own.where.URL(), Endpoint: n.own.where.Endpoint, Unbounded: n.own.where.Offer == 0}
	if problem := n.own.problem(); problem != nil {
		s.Problem = s3.Explain(problem)
	}
	if bucket := n.own.opened(); bucket != nil {
		s.BucketUse = bucketUse(bucket, n.config.Bucket)
	}
	return s
}

// diagnoseBucket says whether what is in the node's own bucket is served.
func (n *Node) diagnoseBucket(ctx context.Context) []doctor.Check {
	s := n.bucketStatus()
	if s == nil {
		return nil
	}
	if s.Problem == "" {
		s.Problem = lostBucket(ctx, n.own.opened())
	}
	return []doctor.Check{doctor.Serving(s.URL, s.Problem)}
}

// lostBucket says that an open bucket was emptied, or that another one is in its place; nothing where it is as it was or does not tell.
func lostBucket(ctx context.Context, bucket *s3.Store) string {
	if bucket == nil {
		return ""
	}
	if err := bucket.Same(ctx); err != nil {
		return s3.Explain(err)
	}
	return ""
}
