package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/spill"
)

// A drained says what one pass over the bucket has done.
type drained struct {
	spill.DrainReport
	Spread      int64 // shares that went to servers which had none of the same file
	SpreadBytes int64
	lost        []spill.Damaged // that were damaged when they were to go to other servers
}

// damaged returns the shares that turned out to be damaged.
func (d drained) damaged() []spill.Damaged { return slices.Concat(d.lost, d.Damaged) }

func (d drained) moved() int64 { return d.Shares + d.Spread + d.Names }

// result is what the local API says of a pass.
func (d drained) result() control.DrainResult {
	r := control.DrainResult{
		Shares: d.Shares, Bytes: d.Bytes, Spread: d.Spread, SpreadBytes: d.SpreadBytes, Names: d.Names,
		Left: d.Left, Waiting: d.Passed, Kept: d.Kept, NamesLeft: d.NamesLeft, Full: d.Full,
	}
	for _, broken := range d.damaged() {
		what := "does not verify and stays in the bucket, try again"
		if broken.Dropped {
			what = "was damaged in the bucket and is not held there any more"
		}
		r.Damaged = append(r.Damaged, fmt.Sprintf("share %d of %s %s: %v", broken.Number, capability.FileVerify(broken.Index).Text(), what, broken.Err))
	}
	return r
}

// passes are what is known of the passes over a bucket. The mutex of the spilling guards them.
type passes struct {
	now       *drained // of the pass that goes on, nil when there is none
	last      drained
	ended     time.Time          // when the last pass ended
	interrupt context.CancelFunc // ends the pass that the node made by itself; nil when there is none
	idle      string             // those servers took nothing when a pass last tried
	tried     time.Time          // when that was
}

// tell says how far a pass is.
func (x *spilling) tell(report drained) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = &report
}

// keepSpilling opens the bucket and brings shares back, until the context ends. It closes a channel when it has tried for the first time.
func (n *Node) keepSpilling(ctx context.Context, tried chan<- struct{}) {
	n.openBucket(ctx)
	close(tried)
	collected := time.Now().Add(collectAfter - collectEvery)
	wait := openBucketAgain
	var care sync.WaitGroup
	defer care.Wait()
	for pause(ctx, wait) {
		if !n.openBucket(ctx) {
			continue
		}
		if wait != drainEvery {
			care.Go(func() { scrubBucket(ctx, n.spill.bucket, n.config.Bucket, n.log.With("part", "spill"), n.history.add) })
		}
		wait = drainEvery
		n.drainAlone(ctx)
		if time.Since(collected) > collectEvery {
			collected = time.Now()
			n.collectSpill(ctx)
		}
	}
}

func (n *Node) collectSpill(ctx context.Context) {
	if _, err := n.spill.bucket.CollectDue(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn("shares without a lease could not be removed from the bucket", "part", "spill", "error", err)
	}
}

// drainAlone makes a pass that nobody asked for. Whoever asks for one ends it.
func (n *Node) drainAlone(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x := n.spill
	x.mu.Lock()
	x.interrupt = cancel
	x.mu.Unlock()
	_, err := n.drain(ctx, control.DrainRequest{Rate: x.rate}, false)
	if err != nil && ctx.Err() == nil {
		n.log.Warn("shares could not be brought back from the bucket", "part", "spill", "error", err)
	}
}

// drain makes one pass over what is in the bucket: this node's own shares go to servers that have none of the same file, the disk among them,
// and the others to the disk. Whether it was asked for decides whether servers are tried again that took nothing a moment ago.
func (n *Node) drain(ctx context.Context, o control.DrainRequest, asked bool) (drained, error) {
	x := n.spill
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return drained{}, ctx.Err()
	}
	var report drained
	x.tell(report)
	var errs []error
	if takers := n.takers(ctx); x.worth(takers, asked) {
		errs = append(errs, n.spread(ctx, o.Rate, takers, &report))
		if report.Spread == 0 && ctx.Err() == nil {
			x.tookNothing(takers)
		}
	}
	options := spill.DrainOptions{Rate: o.Rate, All: o.All, Pass: n.mine, Progress: func(r spill.DrainReport) {
		x.tell(drained{r, report.Spread, report.SpreadBytes, report.lost})
	}}
	if o.All {
		options.Pass = nil
	}
	var err error
	report.DrainReport, err = x.store.Drain(ctx, options)
	if n.disk == nil { // what is left waits for other servers
		report.Full, report.Passed = false, report.Left
	}
	err = errors.Join(append(errs, err)...)
	x.mu.Lock()
	x.now, x.last, x.ended = nil, report, time.Now()
	x.mu.Unlock()
	if report.moved() > 0 {
		n.collectSpill(ctx)
		n.history.add(control.Event{Kind: control.KindDrained, Text: drainedText(report)})
	}
	return report, err
}

func drainedText(r drained) string {
	return fmt.Sprintf("moved %d shares (%s) out of the bucket, %d of them to other nodes; %d are left there",
		r.Shares+r.Spread, humanize.Bytes(uint64(max(0, r.Bytes+r.SpreadBytes))), r.Spread, r.Left)
}

// worth reports whether servers are to be offered shares: not those that took none a short while ago.
func (x *spilling) worth(takers []share.Server, asked bool) bool {
	if !slices.ContainsFunc(takers, func(s share.Server) bool { return s.Free > 0 }) {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return asked || x.idle != names(takers) || time.Since(x.tried) > spreadAgain
}

func (x *spilling) tookNothing(takers []share.Server) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.idle, x.tried = names(takers), time.Now()
}

// drainTick is how often whoever asked for a pass is told how far it is.
const drainTick = 250 * time.Millisecond

// DrainSpill brings back now what there is room for. A pass that the node makes by itself is ended for it.
func (a api) DrainSpill(ctx context.Context, request control.DrainRequest, progress func(control.Progress)) (control.DrainResult, error) {
	x := a.n.spill
	if x == nil {
		return control.DrainResult{}, a.n.noBucket("", "", "")
	}
	space, err := x.late.Space(ctx)
	if err != nil {
		return control.DrainResult{}, err
	}
	x.mu.Lock()
	if x.interrupt != nil {
		x.interrupt()
	}
	x.mu.Unlock()
	type outcome struct {
		report drained
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := a.n.drain(ctx, request, true)
		done <- outcome{report, err}
	}()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			return o.report.result(), o.err
		case <-tick.C:
			x.mu.Lock()
			if x.now != nil {
				progress(control.Progress{Note: "draining", Done: x.now.Bytes + x.now.SpreadBytes, Total: space.Used})
			}
			x.mu.Unlock()
		}
	}
}
