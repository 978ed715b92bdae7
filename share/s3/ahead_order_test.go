package s3_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"cairn/share/s3"
)

const (
	orderBlock  = 128 << 10
	orderBlocks = 768 // 96 MiB
	orderRow    = 32  // bytes
	orderTail   = orderBlocks * 2 * orderRow
	orderRows   = orderBlocks * orderBlock // where they begin
)

// inOrder returns the numbers of all blocks.
func inOrder() []int64 {
	all := make([]int64, orderBlocks)
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

// backwards has each few of the blocks in the opposite order, as readers ask that begin many reads at a time.
func backwards(few int) []int64 {
	all := inOrder()
	for group := range slices.Chunk(all, few) {
		slices.Reverse(group)
	}
	return all
}

// shuffled has each few of the blocks in any order.
func shuffled(few int) []int64 {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	all := inOrder()
	for group := range slices.Chunk(all, few) {
		random.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
	}
	return all
}

// every has one of so many blocks.
func every(n int) (some []int64) {
	for i := 0; i < orderBlocks; i += n {
		some = append(some, int64(i))
	}
	return some
}

// TestReadingOrders reads blocks in some order, and counts the requests and the bytes for each that was asked for.
func TestReadingOrders(t *testing.T) {
	for name, test := range map[string]struct {
		order    []int64
		requests int64
		bytes    float64 // for each that was asked for
	}{
		"in order":                   {inOrder(), 30, 1.01},
		"backwards by four":          {backwards(4), 34, 1.01},
		"backwards by 48":            {backwards(48), 80, 1.01},
		"any order of four":          {shuffled(4), 32, 1.01},
		"any order of 48":            {shuffled(48), 90, 1.1},
		"all twice":                  {append(inOrder(), inOrder()...), 60, 1.01},
		"every second one":           {every(2), 40, 2.1},
		"every tenth one":            {every(10), orderBlocks/10 + 1, 1},
		"the first alone":            {inOrder()[:1], 1, 1},
		"the first eight":            {inOrder()[:8], 8, 1.5},
		"the first two hundred":      {inOrder()[:200], 24, 1.5},
		"the same one all the time":  {make([]int64, 100), 100, 1},
		"the middle, then the start": {append(inOrder()[384:], inOrder()[:384]...), 50, 1.2},
	} {
		t.Run(name, func(t *testing.T) {
			r := s3.NewReadAheads(t.Context(), 1, orderRows+orderTail, orderRows)[0]
			for _, i := range test.order {
				if !r.Read(t.Context(), orderBlock, i*orderBlock) {
					t.Fatalf("block %d is wrong", i)
				}
			}
			requests, bytes, largest := r.End()
			each := float64(bytes) / float64(len(test.order)*orderBlock)
			t.Logf("%d blocks: %d requests, %.3f bytes for each, at most %d in one", len(test.order), requests, each, largest)
			if requests > test.requests || each > test.bytes {
				t.Errorf("%d requests, %.3f bytes for each that was asked for, want at most %d and %.3f", requests, each, test.requests, test.bytes)
			}
			if left, _ := r.Kept(); left != 0 {
				t.Errorf("%d bytes are still read ahead", left)
			}
		})
	}
}

// TestReadingFiles reads blocks, and in between the rows that they are verified with, as a file is read.
func TestReadingFiles(t *testing.T) {
	r := s3.NewReadAheads(t.Context(), 1, orderRows+orderTail, orderRows)[0]
	for i, block := range backwards(8) {
		if i%32 == 0 && !r.Read(t.Context(), 32*orderRow, orderRows+int64(i)*orderRow) {
			t.Fatalf("the row of block %d is wrong", i)
		}
		if !r.Read(t.Context(), orderBlock, block*orderBlock) {
			t.Fatalf("block %d is wrong", block)
		}
	}
	if requests, bytes, _ := r.End(); requests > 36 || bytes > (orderRows+orderTail)*101/100 {
		t.Errorf("%d requests, %d bytes for %d", requests, bytes, orderRows+orderTail)
	}
}

// TestReadingSmallPieces reads a few bytes here and there: that is all that is fetched.
func TestReadingSmallPieces(t *testing.T) {
	r := s3.NewReadAheads(t.Context(), 1, orderRows+orderTail, orderRows)[0]
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same in each run
	const pieces, piece = 500, 4000
	for range pieces {
		if !r.Read(t.Context(), piece, random.Int64N(orderRows)) {
			t.Fatal("wrong bytes")
		}
	}
	if requests, bytes, largest := r.End(); requests != pieces || bytes > pieces*piece*11/10 || largest > 2*piece {
		t.Errorf("%d requests, %d bytes, at most %d in one, for %d pieces of %d", requests, bytes, largest, pieces, piece)
	}
}

// TestReadingAheadIsBounded has many readers read at the same time.
func TestReadingAheadIsBounded(t *testing.T) {
	all := s3.NewReadAheads(t.Context(), 60, orderRows+orderTail, orderRows)
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(func() {
			for i := range int64(100) {
				if !r.Read(t.Context(), orderBlock, i*orderBlock) {
					t.Errorf("block %d is wrong", i)
					return
				}
				if kept, most := r.Kept(); kept > most {
					t.Errorf("%d bytes are read ahead, at most %d may be", kept, most)
					return
				}
			}
		})
	}
	group.Wait()
	for _, r := range all {
		r.End()
	}
	if left, _ := all[0].Kept(); left != 0 {
		t.Errorf("%d bytes are still read ahead", left)
	}
}
