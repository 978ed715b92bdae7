package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/disk"
)

// When the background work is done.
const (
	// scrubAfter is how long the node runs before it verifies its shares, scrubEvery the pause between two passes.
	scrubAfter = 10 * time.Minute
	scrubEvery = 24 * time.Hour
	// collectAfter and collectEvery are the same for the removal of shares on which no lease is left; collectRate is how many
	// bytes a second it reads and writes.
	collectAfter = 15 * time.Minute
	collectEvery = 6 * time.Hour
	collectRate  = 8e6
	// announceEvery is how often the node looks whether its grid has become one in which shares are announced.
	announceEvery = time.Minute
	// announceBatch is how many files are announced at a time.
	announceBatch = 1000
)

// openUpkeep starts what a node does by itself: it verifies its shares, removes those that nobody wants any more, and announces
// them in a large grid.
func (n *Node) openUpkeep(context.Context) error {
	if n.store == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	if rate := int64(n.config.Storage.Scrub); rate > 0 && n.disk != nil {
		tasks.Go(func() { scrub(ctx, n.disk, rate, n.log.With("part", "scrub"), n.history.add) })
	}
	if n.disk != nil {
		tasks.Go(func() { collect(ctx, n.disk, n.log.With("part", "storage"), n.history.add) })
	}
	tasks.Go(func() { n.announceAll(ctx) })
	n.opened(closerFunc(func() error {
		cancel()
		tasks.Wait()
		return nil
	}))
	return nil
}

// A scrubber verifies all that it holds. disk.Store is one.
type scrubber interface {
	Scrub(ctx context.Context, bytesPerSecond int64) (disk.ScrubReport, error)
}

// scrub verifies a store again and again until the context ends. A pass that was interrupted by a restart goes on where
// it stopped.
func scrub(ctx context.Context, store scrubber, bytesPerSecond int64, log *slog.Logger, tell func(control.Event)) {
	for wait := scrubAfter; pause(ctx, wait); wait = scrubEvery {
		report, err := store.Scrub(ctx, bytesPerSecond)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			log.Warn("stored shares could not be verified", "error", err)
			tell(control.Event{Kind: control.KindVerifyFailed, Text: "stored shares could not be verified", Reason: err.Error()})
		default:
			log.Info("verified the stored shares", "shares", report.Shares, "bytes", report.Bytes)
			tell(control.Event{Kind: control.KindVerified, Text: fmt.Sprintf("verified all %d stored shares", report.Shares)})
		}
	}
}

// A collector removes what no lease is left on. disk.Store is one.
type collector interface {
	CollectDue(ctx context.Context, bytesPerSecond int64) (disk.CollectReport, error)
}

// collect has a store remove again and again what no lease is left on, until the context ends.
func collect(ctx context.Context, store collector, log *slog.Logger, tell func(control.Event)) {
	collectWith(ctx, log, tell, func() (collected, error) {
		report, err := store.CollectDue(ctx, collectRate)
		return collected{
			none: report == (disk.CollectReport{}), what: fmt.Sprintf("%d shares", report.Shares), count: report.Shares, freed: report.Freed, detail: report,
		}, err
	})
}

// A collected is what a pass over a store has removed.
type collected struct {
	none         bool
	what         string
	count, freed int64
	detail       any
}

// collectWith makes passes until the context ends, and tells of what they removed.
func collectWith(ctx context.Context, log *slog.Logger, tell func(control.Event), pass func() (collected, error)) {
	for wait := collectAfter; pause(ctx, wait); wait = collectEvery {
		c, err := pass()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			log.Warn("shares without a lease could not be removed", "error", err)
		case c.none:
			log.Debug("every share has a lease")
		default:
			log.Info("removed shares without a lease", "removed", c.detail)
		}
		if c.count > 0 || c.freed > 0 {
			tell(control.Event{
				Kind: control.KindCollected,
				Text: fmt.Sprintf("removed %s without a lease, %s are free again", c.what, humanize.Bytes(uint64(max(0, c.freed)))),
			})
		}
	}
}

// quarantined tells the owner of a share that does not verify.
func (n *Node) quarantined(q disk.Quarantined) {
	n.log.Warn("a stored share is damaged and was moved aside; the file's owner can repair it",
		"part", "storage", "file", q.Index.String(), "share", q.Number.String(), "path", q.Path, "error", q.Err)
	n.history.add(control.Event{
		Kind: control.KindQuarantined, File: q.Index.String(), Reason: fmt.Sprint(q.Err),
		Text: fmt.Sprintf("share %s of a file is damaged and was moved to %s", q.Number, q.Path),
	})
}

// announceAll announces every file of which the node holds shares, once the grid is large enough that not everybody is
// asked.
func (n *Node) announceAll(ctx context.Context) {
	for announced := false; !announced && pause(ctx, announceEvery); {
		n.servers.all(ctx) // notices how large the grid is
		if !n.servers.large.Load() {
			continue
		}
		err := n.announceHeld(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("stored shares could not be announced", "part", "discovery", "error", err)
		}
		announced = err == nil
	}
}

func (n *Node) announceHeld(ctx context.Context) error {
	batch := make([]share.StorageIndex, 0, announceBatch)
	flush := func() error {
		err := n.discovery.Announce(ctx, batch...)
		batch = batch[:0]
		return err
	}
	err := n.store.Each(ctx, func(index share.StorageIndex) error {
		if batch = append(batch, index); len(batch) < announceBatch {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// committed announces a file of which a share was stored, in a large grid.
func (n *Node) committed(index share.StorageIndex) {
	n.gauge.expire()
	if !n.servers.large.Load() {
		return
	}
	if err := n.discovery.Announce(context.Background(), index); err != nil {
		n.log.Debug("a share could not be announced", "part", "discovery", "file", index.String(), "error", err)
	}
}

// pause waits and returns false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
