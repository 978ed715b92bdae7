package node

import (
	"testing"
	"time"

	"cairn/p2p"
)

func TestPatience(t *testing.T) {
	now := time.Now()
	since := func(ago time.Duration, p p2p.Peer) p2p.Pending { return p2p.Pending{Peer: p, Since: now.Add(-ago)} }
	stores := p2p.Peer{Storage: true, LastSeen: now}
	parted := func(ago time.Duration) p2p.Pending {
		return p2p.Pending{Peer: stores, Since: now.Add(-ago), Parted: true}
	}
	for name, c := range map[string]struct {
		pending []p2p.Pending
		enough  bool
		want    time.Duration
	}{
		"nobody is pending":            {want: 0},
		"one that stores":              {pending: []p2p.Pending{since(time.Second, stores)}, want: 7 * time.Second},
		"the last of two":              {pending: []p2p.Pending{since(0, stores), since(4*time.Second, stores)}, want: 8 * time.Second},
		"one that serves":              {pending: []p2p.Pending{since(0, p2p.Peer{Serves: true, LastSeen: now})}, want: 8 * time.Second},
		"one never met":                {pending: []p2p.Pending{since(0, p2p.Peer{})}, want: 8 * time.Second},
		"one that has nothing":         {pending: []p2p.Pending{since(0, p2p.Peer{LastSeen: now})}, want: 0},
		"one that parted":              {pending: []p2p.Pending{parted(time.Second)}, want: 2 * time.Second},
		"one that parted long ago":     {pending: []p2p.Pending{parted(3 * time.Second)}, want: 0},
		"parted, and enough others":    {pending: []p2p.Pending{parted(0)}, enough: true, want: 0},
		"enough others at first":       {pending: []p2p.Pending{since(0, stores)}, enough: true, want: time.Second},
		"enough others after a moment": {pending: []p2p.Pending{since(time.Second, stores)}, enough: true, want: 0},
		"not enough after a long time": {pending: []p2p.Pending{since(8*time.Second, stores)}, want: 0},
	} {
		if got := patience(c.pending, c.enough, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
