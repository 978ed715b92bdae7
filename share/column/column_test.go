package column_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cairn/share"
	"cairn/share/column"
	"cairn/share/encoding"
	"cairn/share/storetest"
)

func TestCheckLease(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		lease  share.Lease
		denied bool
	}{
		"a day":                    {share.Lease{Owner: "alice", Expires: now.Add(24 * time.Hour)}, false},
		"the longest":              {share.Lease{Owner: "alice", Expires: now.Add(share.MaxLease)}, false},
		"the longest, other clock": {share.Lease{Owner: "alice", Expires: now.Add(share.MaxLease + column.ClockSlack)}, false},
		"too long":                 {share.Lease{Owner: "alice", Expires: now.Add(share.MaxLease + column.ClockSlack + 1)}, true},
		"over":                     {share.Lease{Owner: "alice", Expires: now}, true},
		"unset":                    {share.Lease{Owner: "alice"}, true},
		"nobody's":                 {share.Lease{Expires: now.Add(time.Hour)}, true},
		"long name":                {share.Lease{Owner: strings.Repeat("a", column.MaxOwner+1), Expires: now.Add(time.Hour)}, true},
	} {
		if err := column.CheckLease(test.lease, now); errors.Is(err, share.ErrDenied) != test.denied {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShareSize(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 300 * 4096} {
		f := storetest.NewFile(t, 1, 1, 3, 4096, size)
		have := column.ShareSize(f.Upload(0, "alice"))
		if got := int64(len(f.Share(0))); got > have || have > got+encoding.MaxRootSize {
			t.Errorf("file of %d bytes: share of %d, foreseen %d", size, got, have)
		}
	}
}

func TestResume(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 4096, 2*4096+10)
	u := f.Upload(0, "alice")
	for kept := range int64(4) {
		bytes := min(kept*4096, f.Size)
		c := column.Resume(u, bytes)
		if c.Blocks() != kept {
			t.Errorf("%d bytes are %d blocks, want %d", bytes, c.Blocks(), kept)
		}
		for i := kept; i < f.Segments(); i++ {
			if err := c.Check(f.Row(i), f.Block(i, 0)); err != nil {
				t.Fatalf("segment %d: %v", i, err)
			}
			c.Add(f.Block(i, 0))
		}
		if err := c.Check(f.Row(0), f.Block(0, 0)); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("a segment behind the last: %v", err)
		}
		root, err := c.CheckRoot(f.Root)
		if err != nil || root.StorageIndex() != f.Index {
			t.Errorf("root: %v", err)
		}
	}
	if _, err := column.Resume(u, 4096).CheckRoot(f.Root); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("root of a longer file: %v", err)
	}
}

func TestMoreThanAnnounced(t *testing.T) {
	f := storetest.NewFile(t, 1, 1, 2, 4096, 3*4096)
	u := f.Upload(0, "alice")
	u.Size = 4096
	c := column.Resume(u, 4096)
	if err := c.Check(f.Row(1), f.Block(1, 0)); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("a second segment of one: %v", err)
	}
}
