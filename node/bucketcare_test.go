package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	"cairn/share/capability"
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

// TestBucketTellsNothing looks for a file's bytes, its name and its key in all that the owner of a bucket can read.
func TestBucketTellsNothing(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	const words, name = "meet me at the old mill", "rendezvous.txt"
	for _, size := range []int{2_000, 3_000_000} {
		data := bytes.Repeat([]byte(words), size/len(words))
		request := control.PutRequest{Size: int64(len(data)), Target: fmt.Sprintf("home:%d-%s", size, name), Name: name}
		stored, err := (api{n}).PutAt(t.Context(), bytes.NewReader(data), request, func(control.Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		c, err := capability.Parse(stored.Capability)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := c.ReadKey()
		for object := range server.Objects() {
			for what, secret := range map[string][]byte{"its bytes": []byte(words), "its name": []byte(name), "its key": key[:]} {
				if bytes.Contains(server.Get(object), secret) || strings.Contains(object, string(secret)) {
					t.Errorf("%d bytes: the object %s tells %s", size, object, what)
				}
			}
		}
	}
}

// TestBucketDecidesNothing has the owner of a bucket change, cut, and exchange what a file is in: who reads it gets what was stored, or an error.
func TestBucketDecidesNothing(t *testing.T) {
	server := s3test.Start(t)
	n := openBucketNode(t, server)
	store := func() (capability.Capability, []byte, string) {
		t.Helper()
		before := server.Objects()
		data := make([]byte, 600_000)
		rand.Read(data)
		stored, err := n.grid.Put(t.Context(), bytes.NewReader(data), grid.PutOptions{Size: int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		for object := range server.Objects() {
			if _, was := before[object]; !was && strings.Contains(object, "/s/") {
				return stored.Capability, data, object
			}
		}
		t.Fatal("no object came with the file")
		return capability.Capability{}, nil, ""
	}
	_, _, other := store()
	for what, change := range map[string]func([]byte) []byte{
		"its first byte":       func(p []byte) []byte { p[0] ^= 1; return p },
		"a byte in the middle": func(p []byte) []byte { p[len(p)/2] ^= 0x80; return p },
		"its last byte":        func(p []byte) []byte { p[len(p)-1] ^= 1; return p },
		"its length":           func(p []byte) []byte { return p[:len(p)-200_000] },
		"all of it":            func([]byte) []byte { return server.Get(other) },
		"the order of it": func(p []byte) []byte {
			return append(bytes.Clone(p[131072:262144]), append(p[:131072:131072], p[262144:]...)...)
		},
	} {
		c, data, object := store()
		server.Put(object, change(bytes.Clone(server.Get(object))))
		var got bytes.Buffer
		r, err := n.grid.Open(t.Context(), c)
		if err == nil {
			_, err = r.WriteTo(t.Context(), &got, 0, r.Size())
			r.Close()
		}
		if !bytes.HasPrefix(data, got.Bytes()) || err == nil && got.Len() != len(data) {
			t.Errorf("%s changed: %d bytes are read that are not those that were stored, %v", what, got.Len(), err)
		}
	}
}
