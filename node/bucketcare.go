package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/share/s3"
)

// When a bucket is verified. A call costs nothing while nothing is due.
const (
	scrubBucketAfter = 5 * time.Minute
	scrubBucketEvery = time.Hour
)

// monthsTold is how many months are told of a bucket.
const monthsTold = 2

// bucketUse says what is in a bucket that is open, and what it was asked.
func bucketUse(bucket *s3.Store, c config.Bucket) control.BucketUse {
	stats := bucket.Stats()
	use := control.BucketUse{
		Open: true, Objects: stats.Objects, Stored: stats.Stored,
		Requests: stats.Put.Requests + stats.Get.Requests + stats.Head.Requests + stats.List.Requests + stats.Delete.Requests,
		Sent:     stats.Put.Sent, Received: stats.Get.Received, Months: bucketMonths(bucket, c),
	}
	reading, writing := bucket.Met()
	for _, met := range []*s3.Met{reading, writing} {
		if met != nil && time.Since(met.At) < metLately && met.At.After(use.MetAt) {
			use.Met, use.MetAt = s3.Explain(met.Err), met.At
		}
	}
	return use
}

// metLately is for how long a status tells of a request that failed. Once a minute the bucket is asked whether all is well again.
const metLately = 2 * time.Minute

// bucketMonths says what was asked of a bucket, and what it costs at the prices that are set.
func bucketMonths(bucket *s3.Store, c config.Bucket) []control.BucketMonth {
	months, err := bucket.Months()
	if err != nil {
		return nil // the index says so by itself
	}
	prices := s3.Prices{Writes: float64(c.PriceWrites), Reads: float64(c.PriceReads), Kept: float64(c.PriceKept), Out: float64(c.PriceOut)}
	var told []control.BucketMonth
	for _, m := range months[:min(len(months), monthsTold)] {
		t := control.BucketMonth{
			Month: fmt.Sprintf("%d-%02d", m.Year, m.Month), Writes: m.Put.Requests + m.List.Requests, Reads: m.Get.Requests + m.Head.Requests,
			Deletes: m.Delete.Requests, Sent: m.Put.Sent, Received: m.Get.Received, Kept: m.Kept,
		}
		if c.Priced() {
			cost, expected := m.Cost(prices).Total(), m.Expected(prices).Total()
			t.Currency, t.Cost, t.Expected = c.Currency, &cost, &expected
		}
		told = append(told, t)
	}
	return told
}

// A bucketScrubber verifies what is in a bucket. s3.Store is one.
type bucketScrubber interface {
	Scrub(ctx context.Context, o s3.ScrubOptions) (s3.ScrubReport, error)
}

// scrubBucket verifies what is in a bucket, a little every day, until the context ends.
func scrubBucket(ctx context.Context, bucket bucketScrubber, c config.Bucket, log *slog.Logger, tell func(control.Event)) {
	o := s3.ScrubOptions{Rate: int64(c.Scrub), DayBytes: int64(c.ScrubDay), DayRequests: int64(c.ScrubRequests)}
	if o.DayBytes == 0 {
		o.DayBytes = -1 // nothing is read
	}
	for wait := scrubBucketAfter; pause(ctx, wait); wait = scrubBucketEvery {
		report, err := bucket.Scrub(ctx, o)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			text := "what is in the bucket could not be verified"
			if _, some := errors.AsType[*s3.UnreadError](err); some {
				text = "not all that is in the bucket could be verified"
			}
			log.Warn(text, "error", err)
			tell(control.Event{Kind: control.KindVerifyFailed, Text: text, Reason: s3.Explain(err)})
		case report.Requests > 0:
			log.Info("verified the bucket", "compared", report.Compared, "objects", report.Objects, "shares", report.Shares, "bytes", report.Bytes,
				"requests", report.Requests, "bad", report.Bad, "heads", report.Heads, "unread", report.Unread, "done", report.Done)
		}
		if report.Back > 0 {
			tell(control.Event{
				Kind: control.KindVerified, Text: fmt.Sprintf("%d shares in the bucket that did not verify a day ago are good, and are held again", report.Back),
				Reason: "what was read of them was changed between the bucket and this node",
			})
		}
		switch {
		case report.Done && report.Unread > 0:
			tell(control.Event{
				Kind: control.KindVerified, Text: fmt.Sprintf("verified all that is in the bucket but %d objects", report.Unread),
				Reason: "the server did not give them; they are tried again a day later",
			})
		case report.Done:
			tell(control.Event{Kind: control.KindVerified, Text: "verified all that is in the bucket"})
		}
	}
}

// badInBucket tells the owner of what is wrong in a bucket.
func (n *Node) badInBucket(b s3.Bad) {
	e := control.Event{Kind: control.KindQuarantined, Reason: fmt.Sprint(b.Err)}
	if b.Index.IsZero() {
		e.Text = fmt.Sprintf("a head in the bucket was not what was stored last, and was put right: %s", b.Name)
	} else {
		e.File, e.Text = b.Index.String(), fmt.Sprintf("share %s of a file is damaged or gone in the bucket, object %s; it is not held any more", b.Number, b.Key)
	}
	n.history.add(e)
}
