package encoding

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/sums"
)

// maxGroup bounds the segments of a group, and maxGroupBytes their blocks: they are hashed last, and should be in the
// processor's caches still.
const (
	maxGroup      = 8
	maxGroupBytes = 4 << 20
	// groupDelay is how long segments wait for others of a stream that is slow.
	groupDelay = 10 * time.Millisecond
)

// A group is some segments, one after the other, that are transformed together, because many blocks are hashed at less cost than few.
type group struct {
	segments []*Segment
	done     chan error
}

// together returns how many segments make a group of which the blocks are hashed at the least cost.
func (l Layout) together() int {
	return sums.Together(l.Total, min(maxGroup, maxGroupBytes/(l.Total*l.BlockSize)))
}

// gather makes groups of segments, starts the work on each, and passes them on in order.
func (e *encoder) gather(ctx context.Context, filled <-chan *Segment, ordered chan<- *group) {
	defer close(ordered)
	var work errgroup.Group
	defer work.Wait()
	work.SetLimit(runtime.GOMAXPROCS(0))
	full := min(e.layout.together(), max(1, e.Buffers/2))
	timer := time.NewTimer(groupDelay)
	defer timer.Stop()
	for {
		g := &group{done: make(chan error, 1)}
		more := g.fill(ctx, filled, full, timer)
		if len(g.segments) > 0 {
			select {
			case ordered <- g:
			case <-ctx.Done():
				return
			}
			work.Go(func() error {
				g.done <- e.transform(g.segments)
				return nil
			})
		}
		if !more {
			return
		}
	}
}

// fill waits for the first segment of a group, and a moment for the others. It returns false when no more will come.
func (g *group) fill(ctx context.Context, filled <-chan *Segment, full int, timer *time.Timer) (more bool) {
	for len(g.segments) < full {
		late := timer.C
		if len(g.segments) == 0 {
			late = nil
		}
		select {
		case s, ok := <-filled:
			if !ok {
				return false
			}
			if g.segments = append(g.segments, s); len(g.segments) == 1 {
				timer.Reset(groupDelay)
			}
		case <-late:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// transform encrypts segments in place, adds parity and hashes every block.
func (e *encoder) transform(segments []*Segment) error {
	for _, s := range segments {
		if err := e.code(s); err != nil {
			return fmt.Errorf("segment %d: %w", s.Index, err)
		}
	}
	n := len(segments) * e.layout.Total
	blocks, digests := make([][]byte, 0, n), make([]share.Digest, n)
	for _, s := range segments {
		blocks = append(blocks, s.blocks...)
	}
	sums.Sum(digests, blocks)
	for _, s := range segments {
		digests = digests[copy(s.Digests, digests):]
	}
	return nil
}

// code encrypts a segment in place and adds parity.
func (e *encoder) code(s *Segment) error {
	k := e.layout.Needed
	blockLen := (s.Bytes + k - 1) / k
	data := s.buf[:k*blockLen]
	e.file.XORKeyStream(data, data[:s.Bytes], s.Index*e.layout.SegmentSize())
	clear(data[s.Bytes:])
	for j := range s.blocks {
		s.blocks[j] = s.buf[j*blockLen : (j+1)*blockLen : (j+1)*blockLen]
	}
	return e.Code.Encode(s.blocks)
}
