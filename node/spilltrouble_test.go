package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
	"cairn/share/s3"
)

// TestRefusalOfABucketFades has a bucket that is open refuse what it is given: what passes by itself is told for a while, the rest until the
// bucket takes something.
func TestRefusalOfABucketFades(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	away := s3.Look(ctx, s3.Config{
		Endpoint: "http://127.0.0.1:1", Bucket: "abc", AccessKey: "a", SecretKey: "s", Index: t.TempDir(), Timeout: time.Millisecond,
	})
	if !s3.Temporary(away) {
		t.Fatalf("no server: %v", away)
	}
	synctest.Test(t, func(t *testing.T) {
		x := &spilling{bucket: &s3.Store{}}
		want := func(what string, err error) {
			t.Helper()
			if got := x.trouble(); !errors.Is(got, err) || err == nil && got != nil {
				t.Errorf("%s: %v, want %v", what, got, err)
			}
		}
		want("before anything was given", nil)
		x.wrote(away)
		want("a server that is away", away)
		time.Sleep(refusedFor)
		want("a moment before it is forgotten", away)
		x.wrote(away)
		time.Sleep(refusedFor)
		want("it was given something meanwhile", away)
		time.Sleep(time.Second)
		want("the server has answered questions since", nil)
		x.wrote(share.ErrNoSpace)
		time.Sleep(24 * time.Hour)
		want("a full bucket", share.ErrNoSpace)
		x.wrote(nil)
		want("it takes something again", nil)
	})
}
