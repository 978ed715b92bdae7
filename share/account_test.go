package share_test

import (
	"errors"
	"math"
	"testing"

	"cairn/share"
)

func TestStandingCheck(t *testing.T) {
	for _, c := range []struct {
		used, limit, asked int64
		ok                 bool
	}{
		{0, 0, 0, true},
		{0, 0, 1, false},
		{5, 10, 5, true},
		{5, 10, 6, false},
		{10, 10, 0, true},
		{11, 10, 0, false},
		{math.MaxInt64, share.NoLimit, math.MaxInt64, true},
		{10, math.MaxInt64, math.MaxInt64, false},
	} {
		err := share.Standing{Used: c.used, Limit: c.limit}.Check(c.asked)
		if (err == nil) != c.ok {
			t.Errorf("%d of %d used, %d asked: %v", c.used, c.limit, c.asked, err)
		}
		if err != nil && (!errors.Is(err, share.ErrQuota) || !errors.Is(err, share.ErrDenied)) {
			t.Errorf("%v is neither a quota error nor a refusal", err)
		}
	}
}
