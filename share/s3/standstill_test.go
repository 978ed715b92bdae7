package s3_test

import (
	"testing"
	"testing/synctest"
	"time"

	"cairn/share/s3"
)

// TestStandstill: the time of a request is one that begins anew when this process stood still (internal/awake): its end is certain much later
// than it lasts.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 20 * time.Second
		began := time.Now()
		ctx, err := s3.RequestContext(t.Context(), s3.Config{Endpoint: "http://s3.test", Bucket: "bucket", AccessKey: "a", SecretKey: "b", Timeout: limit})
		if err != nil {
			t.Fatal(err)
		}
		if end, ok := ctx.Deadline(); !ok || end.Sub(began) < 4*limit {
			t.Errorf("a request ends for good %v after it began, want not before it could begin anew", end.Sub(began))
		}
	})
}
