package doctor_test

import (
	"errors"
	"strings"
	"testing"

	"cairn/node/doctor"
)

// TestBucketAway advises waiting for a server that is away, and not to correct settings or to start a node again that tries by itself.
func TestBucketAway(t *testing.T) {
	tried := doctor.Tried("s3://b/p", 0, errors.New("the endpoint cannot be reached"))
	expect(t, "tried", tried, doctor.Fail, "s3://b/p: the endpoint cannot be reached")
	if !strings.Contains(tried.Fix, "if the server is away, wait") {
		t.Errorf("tried: %s", tried.Fix)
	}
	serving := doctor.Serving("s3://b/p", "the endpoint cannot be reached")
	expect(t, "serving", serving, doctor.Fail, "s3://b/p: the endpoint cannot be reached")
	if !strings.Contains(serving.Fix, "tries again by itself") || strings.Contains(serving.Fix, "start the node") {
		t.Errorf("serving: %s", serving.Fix)
	}
	expect(t, "well", doctor.Serving("s3://b/p", ""), doctor.OK, "s3://b/p")
}
