package file

import (
	"context"
	"sync"
	"time"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/sums"
)

const (
	// groupSegments bounds the segments of a group, and groupBytes their blocks.
	groupSegments = 8
	groupBytes    = 4 << 20
	// groupDelay is how long a segment that is there waits for the next one.
	groupDelay = 10 * time.Millisecond
)

// A pending segment is being fetched for WriteTo.
type pending struct {
	layout   encoding.Layout
	segment  int64
	row      []share.Digest
	off, end int64 // of the file

	// What follows is set when done is closed, and is the group's from then on.
	done   chan struct{}
	blocks [][]byte
	from   []*holder // who sent the blocks that are not verified yet
	err    error
}

// at returns where the n-th block of data begins in the file.
func (p *pending) at(n int) int64 {
	return p.segment*p.layout.SegmentSize() + int64(n)*int64(p.layout.BlockLen(p.segment))
}

// covers reports whether the range has bytes of a data block.
func (p *pending) covers(n share.Number) bool { return p.at(int(n)) < p.end && p.at(int(n)+1) > p.off }

// A group is some segments, one after the other, whose blocks are verified together, because many blocks are hashed at less cost
// than few.
type group struct {
	segments []*pending
	done     chan struct{} // closed when they are verified and decrypted
}

// free gives the blocks back.
func (g *group) free(s *Source) {
	for _, p := range g.segments {
		s.Free(p.blocks)
	}
}

// gather makes groups of the segments, in order, and starts the work on each. All that comes from the queue is in a group in the end.
func (r *Reader) gather(ctx context.Context, working *sync.WaitGroup, queue <-chan *pending, groups chan<- *group) {
	l := r.source.layout
	full := sums.Together(l.Needed, min(groupSegments, groupBytes/(l.Needed*l.BlockSize)))
	timer := time.NewTimer(groupDelay)
	defer timer.Stop()
	var next *pending // begins the next group
	for {
		g := &group{done: make(chan struct{})}
		if next == nil {
			next = <-queue
		}
		if next == nil {
			return
		}
		g.segments = append(g.segments, next)
		// Where few segments are under way, what waits here keeps others from being fetched.
		next = g.fill(queue, min(full, 1+len(queue)/2), timer)
		groups <- g
		working.Go(func() {
			defer close(g.done)
			r.open(ctx, g)
		})
	}
}

// fill adds segments up to a number of them, as long as they are there. It returns one that it took from the queue and that is not there.
func (g *group) fill(queue <-chan *pending, full int, timer *time.Timer) *pending {
	if full <= 1 {
		return nil
	}
	<-g.segments[0].done
	timer.Reset(groupDelay)
	for len(g.segments) < full {
		var next *pending
		select {
		case next = <-queue:
		default:
		}
		if next == nil {
			return nil
		}
		select {
		case <-next.done:
			g.segments = append(g.segments, next)
		case <-timer.C:
			return next
		}
	}
	return nil
}

// open verifies and decrypts the segments of a group.
func (r *Reader) open(ctx context.Context, g *group) {
	var blocks [][]byte
	for _, p := range g.segments {
		<-p.done
		for j, h := range p.from {
			if h != nil {
				blocks = append(blocks, p.blocks[j])
			}
		}
	}
	digests := make([]share.Digest, len(blocks))
	sums.Sum(digests, blocks)
	for _, p := range g.segments {
		good := true
		for j, h := range p.from {
			if h != nil {
				good = good && digests[0] == p.row[j]
				digests = digests[1:]
			}
		}
		if !good {
			r.again(ctx, p)
		}
		if p.err == nil {
			r.decrypt(p)
		}
	}
}

// again finds out who sent what does not verify, and fetches the segment anew.
func (r *Reader) again(ctx context.Context, p *pending) {
	r.source.check(p.segment, p.row, p.blocks, p.from)
	r.source.Free(p.blocks)
	p.blocks, p.err = r.source.Blocks(ctx, p.segment, p.row, p.covers)
}

func (r *Reader) decrypt(p *pending) {
	for j, block := range p.blocks[:p.layout.Needed] {
		if p.covers(share.Number(j)) {
			r.file.XORKeyStream(block, block, p.at(j))
		}
	}
}
