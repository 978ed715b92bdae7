package health

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/encoding"
)

const (
	// streamMemory bounds the blocks in memory, in bytes, as long as at least minPieces segments fit.
	streamMemory = 32 << 20
	minPieces    = 2
	maxPieces    = 16
	// rowsAtOnce is how many rows of digests are read at a time.
	rowsAtOnce = 64
)

// A piece is one segment on its way to the targets.
type piece struct {
	segment int64
	row     []share.Digest
	blocks  [][]byte // those of the targets at least
	ready   chan error
	refs    atomic.Int32
}

// A streamer makes the shares of some targets in one pass over the file.
type streamer struct {
	*repairer
	targets []*target
	wanted  []bool        // by share number: those of the targets
	parity  bool          // some of them are parity
	first   int64         // segment that some target lacks
	slots   chan struct{} // one for each piece in memory
	buffers sync.Pool     // of *[]byte, one block each
	alive   atomic.Int32  // targets that have not failed
	// stopReading ends the reading; cut is true when the pieces end before the file does.
	stopReading context.CancelFunc
	cut         atomic.Bool
}

// stream makes the shares of the jobs, all of which are open. Segments are read and restored several at a time and handed
// to the targets in order; each target takes them at its own pace within the bound. The error is one of reading,
// and leaves what was stored for a later pass; those of targets are settled.
func (r *repairer) stream(ctx context.Context, jobs []job) error {
	s := &streamer{repairer: r, wanted: make([]bool, r.root.Total), first: r.layout.Segments()}
	perPiece := int64(r.root.Needed+len(jobs)) * int64(r.root.BlockSize)
	s.slots = make(chan struct{}, min(max(int(streamMemory/perPiece), minPieces), maxPieces))
	for _, j := range jobs {
		t := r.open[j]
		t.pieces = make(chan *piece, cap(s.slots))
		t.left = max(0, r.layout.RowOffset(0)-r.layout.BlockOffset(t.have))
		r.meter.add(Progress{TotalShares: 1, TotalBytes: t.left})
		s.targets = append(s.targets, t)
		s.wanted[j.number] = true
		s.parity = s.parity || int(j.number) >= r.root.Needed
		s.first = min(s.first, t.have)
	}
	err := s.run(ctx)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	for _, t := range s.targets {
		if err == nil || t.done {
			r.settle(t)
		}
	}
	return err
}

// run connects three stages: one goroutine starts the work on each segment, a bounded number does it, and this one
// hands the segments to the targets in order. When it returns, all have ended. Targets store all they were handed even if
// reading fails. That every target has failed is not an error.
func (s *streamer) run(ctx context.Context) error {
	var writing sync.WaitGroup
	s.alive.Store(int32(len(s.targets)))
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	s.stopReading = stopReading
	for _, t := range s.targets {
		writing.Go(func() { t.run(s) })
	}
	ordered := make(chan *piece, cap(s.slots)) // never full: a piece has a slot
	var reader errgroup.Group
	reader.Go(func() error {
		defer close(ordered)
		return s.read(reading, ordered)
	})
	var failed error
	for p := range ordered {
		if err := <-p.ready; err != nil {
			failed = s.end(failed, err)
		} else if !s.cut.Load() {
			s.hand(p)
		}
		s.release(p)
	}
	if err := reader.Wait(); err != nil {
		failed = s.end(failed, err)
	}
	for _, t := range s.targets {
		close(t.pieces)
	}
	writing.Wait()
	return failed
}

// end ends the pieces because of an error of reading, and returns the error that is told: the first, unless reading was
// stopped because all targets had failed.
func (s *streamer) end(failed, err error) error {
	s.cut.Store(true)
	s.stopReading()
	if failed == nil && s.alive.Load() > 0 {
		return err
	}
	return failed
}

// hand gives a piece to every target.
func (s *streamer) hand(p *piece) {
	p.refs.Add(int32(len(s.targets)))
	for _, t := range s.targets {
		t.pieces <- p
	}
}

// read starts the work on each segment as slots become free and queues it in order.
func (s *streamer) read(ctx context.Context, ordered chan<- *piece) error {
	var work sync.WaitGroup
	defer work.Wait()
	var rows [][]share.Digest
	for i := s.first; i < s.layout.Segments(); i++ {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(rows) == 0 {
			var err error
			if rows, err = s.source.Rows(ctx, i, rowsAtOnce); err != nil {
				return fmt.Errorf("index of segment %d: %w", i, err)
			}
		}
		p := &piece{segment: i, row: rows[0], ready: make(chan error, 1)}
		p.refs.Store(1)
		rows = rows[1:]
		ordered <- p
		work.Go(func() { p.ready <- s.restore(ctx, p) })
	}
	return nil
}

// restore reads the data blocks of a segment, computes the wanted ones that nobody has, and checks them.
func (s *streamer) restore(ctx context.Context, p *piece) error {
	blocks, err := s.source.Blocks(ctx, p.segment, p.row, func(j share.Number) bool { return s.parity || s.wanted[j] })
	if err != nil {
		return err
	}
	p.blocks = blocks
	blockLen := s.layout.BlockLen(p.segment)
	for j, wanted := range s.wanted {
		if wanted && p.blocks[j] == nil {
			p.blocks[j] = s.buffer(blockLen)[:0]
		}
	}
	if err := encoding.Restore(s.source.Code(), p.row, p.blocks, blockLen, s.wanted); err != nil {
		return fmt.Errorf("segment %d: %w", p.segment, err)
	}
	return nil
}

func (s *streamer) buffer(n int) []byte {
	if b, ok := s.buffers.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n)
}

// release ends one use of a piece; the last one gives the blocks and the slot back.
func (s *streamer) release(p *piece) {
	if p.refs.Add(-1) > 0 {
		return
	}
	for j := range p.blocks {
		if s.wanted[j] && j >= s.root.Needed && p.blocks[j] != nil {
			block := p.blocks[j]
			s.buffers.Put(&block)
			p.blocks[j] = nil
		}
	}
	s.source.Free(p.blocks)
	<-s.slots
}
