package file

import (
	"context"
	"errors"
	"fmt"

	"cairn/share"
	"cairn/share/encoding"
)

// Blocks returns blocks of segment i such that all wanted data blocks (share numbers below k) are present; every block
// is verified against the row, the others are nil. It reads just the wanted blocks where that succeeds, and any k
// where it does not. Free takes the blocks back when they are no longer needed. The error is a
// *share.NotEnoughSharesError when k good blocks of the segment are not to be had, or ErrCorrupt when the file itself
// was encoded inconsistently.
func (s *Source) Blocks(ctx context.Context, i int64, row []share.Digest, want func(share.Number) bool) ([][]byte, error) {
	blocks := make([][]byte, s.root.Total)
	if s.layout.BlockLen(i) == 0 {
		return blocks, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &segmentFetch{
		race: s.newRace(ctx), segment: i, row: row, blocks: blocks,
		under: map[share.Number]int{}, wanted: map[share.Number]bool{},
	}
	defer f.hedge.Stop()
	for j := range s.root.Needed {
		if number := share.Number(j); want(number) {
			f.wanted[number] = true
		}
	}
	if err := f.run(); err != nil {
		s.Free(blocks)
		return nil, fmt.Errorf("segment %d: %w", i, err)
	}
	return blocks, nil
}

// A segmentFetch collects the blocks of one segment. At first it asks for the wanted data blocks only; once one of them
// fails or is late it is degraded and collects any k distinct blocks, from which the wanted ones are computed.
type segmentFetch struct {
	*race
	segment  int64
	row      []share.Digest
	blocks   [][]byte // verified
	got      int
	wanted   map[share.Number]bool // and not yet there
	under    map[share.Number]int  // requests under way, by share number
	fresh    int                   // requests under way that are not late
	degraded bool
	causes   []error
}

func (f *segmentFetch) run() error {
	for _, j := range f.wantedNumbers() {
		if !f.ask(func(h *holder) bool { return h.number == j && h.bad.Load() == 0 && h.late.Load() == 0 }) {
			f.degraded = true
		}
	}
	for len(f.wanted) > 0 {
		if f.got >= f.s.root.Needed {
			return f.recover()
		}
		if f.degraded {
			f.askMore()
		}
		if f.exhausted() {
			return f.s.notEnough(f.got, f.causes)
		}
		what, a, err := f.next()
		if err != nil {
			return err
		}
		switch what {
		case answered:
			f.take(a)
		case late:
			f.markLate()
		}
	}
	return nil
}

func (f *segmentFetch) wantedNumbers() []share.Number {
	var numbers []share.Number
	for j := range f.s.root.Needed {
		if number := share.Number(j); f.wanted[number] {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// ask starts a request to the best holder that fits.
func (f *segmentFetch) ask(fits func(*holder) bool) bool {
	var number share.Number
	ok := f.start(f.s.layout.BlockLen(f.segment), f.s.layout.BlockOffset(f.segment), func(h *holder) bool {
		if !fits(h) {
			return false
		}
		number = h.number
		return true
	})
	if ok {
		f.under[number]++
		f.fresh++
	}
	return ok
}

// askMore keeps as many requests under way, not counting late ones, as blocks are missing: first for share numbers that
// nobody has been asked for, then for others.
func (f *segmentFetch) askMore() {
	for f.got+f.fresh < f.s.root.Needed {
		ok := f.ask(func(h *holder) bool { return f.blocks[h.number] == nil && f.under[h.number] == 0 }) ||
			f.ask(func(h *holder) bool { return f.blocks[h.number] == nil })
		if !ok {
			return
		}
	}
}

// take verifies one answer.
func (f *segmentFetch) take(a attempt) {
	number := a.h.number
	f.under[number]--
	f.fresh = max(0, f.fresh-1)
	if a.err == nil && f.blocks[number] == nil {
		err := f.s.layout.CheckBlock(f.segment, number, f.row, a.buf)
		if err == nil {
			f.blocks[number] = a.buf
			f.got++
			delete(f.wanted, number)
			a.h.late.Store(0)
			return
		}
		f.causes = append(f.causes, f.s.blame(a.h, f.segment, err.Error()))
		f.degraded = true
	}
	f.s.free(a.buf)
	if a.err != nil && !errors.Is(a.err, context.Canceled) {
		a.h.bad.Add(1)
		f.causes = append(f.causes, wrapServer(a.h.server, a.err))
		f.degraded = true
	}
}

// markLate notes which servers keep the segment waiting.
func (f *segmentFetch) markLate() {
	f.degraded = true
	f.fresh = 0
	for h := range f.tried {
		if f.under[h.number] > 0 && f.blocks[h.number] == nil {
			h.late.Add(1)
		}
	}
}

// recover computes the wanted blocks from any k.
func (f *segmentFetch) recover() error {
	blockLen := f.s.layout.BlockLen(f.segment)
	for j := range f.s.root.Needed {
		if f.blocks[j] == nil {
			f.blocks[j] = f.s.buffer(blockLen)[:0]
		}
	}
	return encoding.Recover(f.s.code, f.row, f.blocks, blockLen)
}
