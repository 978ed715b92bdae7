package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/encoding"
)

// Blocks returns blocks of segment i such that all wanted data blocks (share numbers below k) are present; every block
// is verified against the row, the others are nil. It reads just the wanted blocks where that succeeds, and any k
// where it does not. Free takes the blocks back when they are no longer needed. The error is a
// *share.NotEnoughSharesError when k good blocks of the segment are not to be had, or ErrCorrupt when the file itself
// was encoded inconsistently.
func (s *Source) Blocks(ctx context.Context, i int64, row []share.Digest, want func(share.Number) bool) ([][]byte, error) {
	blocks, _, err := s.blocks(ctx, i, row, want, true)
	return blocks, err
}

// unchecked is Blocks for a caller that verifies the blocks itself, together with those of other segments. It returns who sent each
// block that is not verified yet. The caller gives all of them to check where one turns out to be wrong.
func (s *Source) unchecked(ctx context.Context, i int64, row []share.Digest, want func(share.Number) bool) ([][]byte, []*holder, error) {
	return s.blocks(ctx, i, row, want, false)
}

func (s *Source) blocks(
	ctx context.Context, i int64, row []share.Digest, want func(share.Number) bool, check bool,
) ([][]byte, []*holder, error) {
	blocks, from := make([][]byte, s.root.Total), make([]*holder, s.root.Total)
	if s.layout.BlockLen(i) == 0 {
		return blocks, from, nil
	}
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	f := &segmentFetch{
		race: s.newRace(ctx, &s.blockPace, s.blockHedge()), segment: i, row: row, blocks: blocks, wanted: map[share.Number]bool{},
		from: from, check: check,
	}
	defer f.timer.Stop()
	for j := range s.root.Needed {
		if number := share.Number(j); want(number) {
			f.wanted[number] = true
		}
	}
	if err := f.run(); err != nil {
		s.Free(blocks)
		return nil, nil, fmt.Errorf("segment %d: %w", i, err)
	}
	return blocks, from, nil
}

// check verifies the blocks of segment i of which from says who sent them, frees those that are wrong, and returns the blame for each. It
// empties from.
func (s *Source) check(i int64, row []share.Digest, blocks [][]byte, from []*holder) map[share.Number]error {
	wrong := map[share.Number]error{}
	for j, h := range from {
		if h == nil {
			continue
		}
		from[j] = nil
		number := share.Number(j)
		if err := s.layout.CheckBlock(i, number, row, blocks[j]); err != nil {
			wrong[number] = s.blame(h, i, err.Error())
			s.free(blocks[j])
			blocks[j] = nil
		}
	}
	return wrong
}

// plainWait is how much longer the queue of a server with plain data may be than that of one with parity: what is plain
// need not be computed.
const plainWait = 250 * time.Millisecond

// A segmentFetch collects the blocks of one segment. At first it asks for the wanted data blocks only; once one of them
// fails or is late, and no other server has the same share, it is degraded and collects any k distinct blocks, from
// which the wanted ones are computed.
type segmentFetch struct {
	*race
	segment  int64
	row      []share.Digest
	blocks   [][]byte // verified, but for those that are in from
	from     []*holder
	check    bool // blocks are verified as they come
	got      int
	wanted   map[share.Number]bool // and not yet there
	degraded bool
	causes   []error
}

func (f *segmentFetch) run() error {
	f.spread()
	f.askWanted()
	for len(f.wanted) > 0 {
		if f.degraded && !f.check {
			f.verify()
		}
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
			f.askWanted()
		}
	}
	return nil
}

// askWanted asks for every wanted block that is not on its way, and degrades the fetch where nobody has it whom nothing
// speaks against.
func (f *segmentFetch) askWanted() {
	if f.degraded {
		return
	}
	now := time.Now()
	coming := f.coming()
	for j := range f.s.root.Needed {
		number := share.Number(j)
		if !f.wanted[number] || coming[number] {
			continue
		}
		if !f.ask(func(h *holder) bool { return h.number == number && h.demerit(now) == 0 }) {
			f.degraded = true
		}
	}
}

// spread asks other holders than those of the plain data when the latter are the bottleneck, and all of the segment is
// wanted: any k blocks are as good then.
func (f *segmentFetch) spread() {
	needed := f.s.root.Needed
	f.s.spreading.Lock() // every segment counts what those before it have asked for
	defer f.s.spreading.Unlock()
	if len(f.wanted) < needed || !f.plainIsBusy() {
		return
	}
	type offer struct {
		h    *holder
		cost time.Duration
	}
	var offers []offer
	now := time.Now()
	for _, h := range f.best {
		cost, known := h.wait()
		if h.demerit(now) > 0 || !known && h.load() > 0 {
			continue // a server that nothing is known of has one request to show what it can
		}
		if int(h.number) >= needed {
			cost += plainWait
		}
		offers = append(offers, offer{h, cost})
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(a.cost, b.cost) })
	asked := map[share.Number]bool{}
	for _, o := range offers {
		if number := o.h.number; len(asked) < needed && !asked[number] {
			asked[number] = f.ask(func(h *holder) bool { return h == o.h })
		}
	}
	f.degraded = true
}

// plainIsBusy reports whether a holder of plain data has a queue that is worth going around.
func (f *segmentFetch) plainIsBusy() bool {
	return slices.ContainsFunc(f.best, func(h *holder) bool {
		wait, _ := h.wait()
		return int(h.number) < f.s.root.Needed && wait > plainWait
	})
}

// coming returns the numbers of the blocks that are on their way and not late.
func (f *segmentFetch) coming() map[share.Number]bool {
	coming := make(map[share.Number]bool, len(f.under))
	for a := range f.under {
		if !a.late && f.blocks[a.h.number] == nil {
			coming[a.h.number] = true
		}
	}
	return coming
}

// ask starts a request to the best holder that fits.
func (f *segmentFetch) ask(fits func(*holder) bool) bool {
	return f.start(f.s.layout.BlockLen(f.segment), f.s.layout.BlockOffset(f.segment), fits)
}

// askMore keeps as many blocks on their way as are missing: first those that nobody has been asked for, then, from
// others, those that are late.
func (f *segmentFetch) askMore() {
	coming := f.coming()
	asked := map[share.Number]bool{}
	for a := range f.under {
		asked[a.h.number] = true
	}
	for f.got+len(coming) < f.s.root.Needed {
		var number share.Number
		lacks := func(h *holder) bool {
			number = h.number
			return f.blocks[number] == nil && !coming[number]
		}
		if !f.ask(func(h *holder) bool { return lacks(h) && !asked[number] }) && !f.ask(lacks) {
			f.s.holders.lack()
			return
		}
		coming[number] = true
	}
}

// take verifies one answer.
func (f *segmentFetch) take(a *attempt) {
	number := a.h.number
	err := a.err
	if err == nil && f.blocks[number] == nil {
		if f.check {
			err = f.s.layout.CheckBlock(f.segment, number, f.row, a.buf)
		} else {
			f.from[number] = a.h
		}
		if err == nil {
			f.blocks[number] = a.buf
			f.got++
			delete(f.wanted, number)
			return
		}
		f.causes = append(f.causes, f.s.blame(a.h, f.segment, err.Error()))
	} else if err != nil && !errors.Is(err, context.Canceled) {
		a.h.failed(err)
		f.causes = append(f.causes, wrapServer(a.h.server, err))
	}
	f.s.free(a.buf)
	if err != nil {
		f.askWanted()
	}
}

// verify verifies what has come so far, and from now on all that comes: what is computed from blocks that are wrong is wrong.
func (f *segmentFetch) verify() {
	f.check = true
	for number, err := range f.s.check(f.segment, f.row, f.blocks, f.from) {
		f.causes = append(f.causes, err)
		f.got--
		f.wanted[number] = true
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
