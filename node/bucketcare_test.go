package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cairn/grid"
	"cairn/internal/s3test"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share/s3"
)

// scrubbedBucket fails its second scrub and ends a pass in its third.
type scrubbedBucket struct {
	options []s3.ScrubOptions
	passes  []time.Time
}

func (b *scrubbedBucket) Scrub(_ context.Context, o s3.ScrubOptions) (s3.ScrubReport, error) {
	b.options, b.passes = append(b.options, o), append(b.passes, time.Now())
	if len(b.passes) == 2 {
		return s3.ScrubReport{}, errors.New("odd")
	}
	return s3.ScrubReport{Requests: 3, Done: len(b.passes) == 3}, nil
}

func TestScrubBucketGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), scrubBucketAfter+3*scrubBucketEvery+time.Minute)
		defer cancel()
		b := &scrubbedBucket{}
		var told []control.Event
		c := config.Default().Bucket
		c.ScrubDay = 0
		scrubBucket(ctx, b, c, slog.New(slog.DiscardHandler), func(e control.Event) { told = append(told, e) })
		if len(b.passes) != 4 || b.passes[3].Sub(began) != scrubBucketAfter+3*scrubBucketEvery {
			t.Fatalf("passes %v, want 4, a failed one included", b.passes)
		}
		if want := (s3.ScrubOptions{Rate: 4e6, DayBytes: -1, DayRequests: 1000}); b.options[0] != want {
			t.Errorf("options %+v, want %+v", b.options[0], want)
		}
		if len(told) != 2 || told[0].Kind != control.KindVerifyFailed || told[0].Reason != "odd" || told[1].Kind != control.KindVerified {
			t.Errorf("events %v", told)
		}
	})
}

// TestBucketLosesAShare has the owner of a bucket delete what a file is in: the node notices, tells of it, and says that the file is lost.
func TestBucketLosesAShare(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	data := make([]byte, 300<<10)
	rand.Read(data)
	stored, err := n.grid.Put(t.Context(), bytes.NewReader(data), grid.PutOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	for key := range server.Objects() {
		if strings.Contains(key, "/s/") || strings.Contains(key, "/p/") {
			server.Remove(key)
		}
	}
	if report, err := n.own.opened().Scrub(t.Context(), s3.ScrubOptions{}); err != nil || report.Bad < 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	report, err := (api{n}).Check(t.Context(), stored.Capability, false, func(control.Progress) {})
	if err != nil || report.Recoverable || report.Healthy {
		t.Errorf("check: %+v, %v", report, err)
	}
	events, _, _ := n.history.after(0)
	if !slices.ContainsFunc(events, func(e control.Event) bool {
		return e.Kind == control.KindQuarantined && e.File != "" && strings.Contains(e.Text, "gone in the bucket")
	}) {
		t.Errorf("no event tells of the share: %v", events)
	}
}
