package file

import (
	"crypto/sha256"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/keys"
	"cairn/share/sums"
)

// segments returns segments that have been fetched, all of whose blocks are right, and not yet verified.
func segments(l encoding.Layout, count int) []*pending {
	list := make([]*pending, count)
	for i := range list {
		p := &pending{
			layout: l, segment: int64(i), off: int64(i) * l.SegmentSize(), end: int64(i+1) * l.SegmentSize(),
			row: make([]share.Digest, l.Total), blocks: make([][]byte, l.Total), from: make([]*holder, l.Total), done: make(chan struct{}),
		}
		for j := range l.Needed {
			p.blocks[j], p.from[j] = make([]byte, l.BlockSize), &holder{}
			p.row[j] = sha256.Sum256(p.blocks[j])
		}
		list[i] = p
	}
	return list
}

// gathered passes the segments through gather and returns how many of them each group has.
func gathered(t *testing.T, l encoding.Layout, list []*pending, later func()) (sizes []int) {
	t.Helper()
	r := &Reader{source: &Source{layout: l, log: slog.New(slog.DiscardHandler)}, file: keys.NewReadKey().File(nil)}
	queue, groups := make(chan *pending, maxWindow), make(chan *group, maxWindow)
	for _, p := range list {
		queue <- p
	}
	close(queue)
	var working sync.WaitGroup
	working.Go(func() {
		defer close(groups)
		r.gather(t.Context(), &working, queue, groups)
	})
	later()
	working.Wait()
	next := 0
	for g := range groups {
		sizes = append(sizes, len(g.segments))
		for _, p := range g.segments {
			if p != list[next] || p.err != nil {
				t.Errorf("segment %d: %v in the place of %d", p.segment, p.err, next)
			}
			next++
		}
	}
	if next != len(list) {
		t.Errorf("%d of %d segments came", next, len(list))
	}
	return sizes
}

// TestSegmentsAreVerifiedTogether: segments that are there make groups, but for the last ones, and one that comes late holds up none before it.
func TestSegmentsAreVerifiedTogether(t *testing.T) {
	l := encoding.Layout{Needed: 3, Total: 10, BlockSize: encoding.MinBlockSize, Size: 40 * 3 * encoding.MinBlockSize}
	full := sums.Together(l.Needed, groupSegments)
	synctest.Test(t, func(t *testing.T) {
		list := segments(l, 40)
		for _, p := range list {
			close(p.done)
		}
		sizes := gathered(t, l, list, func() {})
		if slices.Max(sizes) != full || sizes[0] != full || sizes[len(sizes)-1] != 1 {
			t.Errorf("groups of %v, where %d make a full one", sizes, full)
		}
	})
	if full < 4 {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		list := segments(l, 40)
		const late = 2
		for i, p := range list {
			if i != late {
				close(p.done)
			}
		}
		sizes := gathered(t, l, list, func() {
			time.Sleep(2 * groupDelay)
			close(list[late].done)
		})
		if sizes[0] != late || sizes[1] != full {
			t.Errorf("groups of %v, where segment %d was late", sizes, late)
		}
	})
}
