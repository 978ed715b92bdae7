package encoding

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cairn/share"
)

// manySegments is enough for three levels and for more index nodes than an Index keeps.
const manySegments = 70000

// largeIndex returns the index of a 1-of-1 file of so many segments, in which row i holds the digest of be64(i).
func largeIndex(t *testing.T, segments int64) (Root, *memory) {
	t.Helper()
	l := Layout{Needed: 1, Total: 1, BlockSize: MinBlockSize, Size: segments * MinBlockSize}
	m := &memory{start: l.RowOffset(0), data: make([]byte, l.RootOffset()-l.RowOffset(0))}
	for i := range segments {
		row := rowDigest(i)
		if _, err := m.WriteAt(row[:], l.RowOffset(i)); err != nil {
			t.Fatal(err)
		}
	}
	top, err := BuildIndex(m, l)
	if err != nil {
		t.Fatal(err)
	}
	return Root{Needed: 1, Total: 1, BlockSize: MinBlockSize, Size: l.Size, Index: top}, m
}

func rowDigest(i int64) share.Digest {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// TestIndexIsSharedByReaders: many goroutines read rows everywhere through one Index, which forgets nodes on the way.
func TestIndexIsSharedByReaders(t *testing.T) {
	root, m := largeIndex(t, manySegments)
	index := NewIndex(root, func(_ context.Context, p []byte, off int64, check func() error) error {
		if _, err := m.ReadAt(p, off); err != nil {
			return err
		}
		return check()
	})
	var readers sync.WaitGroup
	for r := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 0))
			for range 500 {
				first := rng.Int64N(manySegments)
				rows, err := index.Rows(t.Context(), first, 1+rng.IntN(5))
				if err != nil || len(rows) == 0 {
					t.Errorf("row %d: %d rows, %v", first, len(rows), err)
					return
				}
				for n, row := range rows {
					if row[0] != rowDigest(first+int64(n)) {
						t.Errorf("row %d is another", first+int64(n))
					}
				}
			}
		})
	}
	readers.Wait()
	if n := len(index.nodes); n > cachedNodes || n != len(index.order) {
		t.Errorf("%d nodes are kept, at most %d", n, cachedNodes)
	}
}

// TestRowsFetchesEachNodeOnce: reading a file from front to back fetches every node of the index once.
func TestRowsFetchesEachNodeOnce(t *testing.T) {
	root, m := largeIndex(t, 3*Fanout+7)
	l := root.Layout()
	var nodes atomic.Int64
	index := NewIndex(root, func(_ context.Context, p []byte, off int64, check func() error) error {
		if off >= l.LevelOffset(1) {
			nodes.Add(1)
		}
		if _, err := m.ReadAt(p, off); err != nil {
			return err
		}
		return check()
	})
	for i := int64(0); i < l.Segments(); {
		rows, err := index.Rows(t.Context(), i, 16)
		if err != nil {
			t.Fatal(err)
		}
		i += int64(len(rows))
	}
	if got := nodes.Load(); got != 4+1 { // four runs of level 1, one of level 2
		t.Errorf("%d fetches for 5 runs of digests", got)
	}
}

// TestBlameIsPrecise: who sends bad rows gets a *MismatchError for them; who cannot send the node above is not blamed for
// the rows.
func TestBlameIsPrecise(t *testing.T) {
	root, m := largeIndex(t, 2*Fanout)
	l := root.Layout()
	unavailable := errors.New("nobody has it")
	for _, c := range []struct {
		what             string
		badRows, badNode bool
	}{
		{what: "bad rows", badRows: true},
		{what: "bad node", badNode: true},
	} {
		var sawRows, sawNode atomic.Bool
		index := NewIndex(root, func(_ context.Context, p []byte, off int64, check func() error) error {
			if _, err := m.ReadAt(p, off); err != nil {
				return err
			}
			isNode := off >= l.LevelOffset(1)
			if isNode && c.badNode || !isNode && c.badRows {
				p[5] ^= 1
			}
			err := check()
			if _, mismatch := errors.AsType[*MismatchError](err); mismatch {
				if isNode {
					sawNode.Store(true)
					return unavailable // a fetch that finds no better sender says so, and blames nobody else
				}
				sawRows.Store(true)
			}
			return err
		})
		_, err := index.Rows(t.Context(), 3, 1)
		if err == nil || sawRows.Load() != c.badRows || sawNode.Load() != c.badNode {
			t.Errorf("%s: rows blamed %v, node blamed %v, error %v", c.what, sawRows.Load(), sawNode.Load(), err)
		}
		if c.badRows && !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %v is not ErrCorrupt", c.what, err)
		}
	}
}

// TestCancelledReaderLeavesOthersAlone: two readers need the same node; the one who asked first gives up, the other still
// gets it.
func TestCancelledReaderLeavesOthersAlone(t *testing.T) {
	for _, gaveUp := range []error{context.Canceled, context.DeadlineExceeded} {
		t.Run(gaveUp.Error(), func(t *testing.T) { abandonFetch(t, gaveUp) })
	}
}

// An ending context ends when the test says so, and why.
type ending struct {
	context.Context
	done chan struct{}
	err  atomic.Value
}

func (c *ending) Done() <-chan struct{} { return c.done }

func (c *ending) Err() error {
	err, _ := c.err.Load().(error)
	return err
}

func (c *ending) end(why error) {
	c.err.Store(why)
	close(c.done)
}

func abandonFetch(t *testing.T, gaveUp error) {
	root, m := largeIndex(t, 2*Fanout)
	l := root.Layout()
	var asked atomic.Int64
	waiting := make(chan struct{})
	index := NewIndex(root, func(ctx context.Context, p []byte, off int64, check func() error) error {
		if off >= l.LevelOffset(1) && asked.Add(1) == 1 {
			close(waiting)
			<-ctx.Done() // the first fetch of the node hangs until its reader gives up
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := m.ReadAt(p, off); err != nil {
			return err
		}
		return check()
	})
	ctx := &ending{Context: t.Context(), done: make(chan struct{})}
	var first, second sync.WaitGroup
	first.Go(func() {
		// It may still find what the other reader fetched.
		if _, err := index.Rows(ctx, 0, 1); err != nil && !errors.Is(err, gaveUp) {
			t.Errorf("the first reader: %v", err)
		}
	})
	<-waiting
	joined := make(chan struct{})
	second.Go(func() {
		close(joined)
		rows, err := index.Rows(t.Context(), 1, 1)
		if err != nil || rows[0][0] != rowDigest(1) {
			t.Errorf("the second reader: %v", err)
		}
	})
	<-joined
	ctx.end(gaveUp)
	first.Wait()
	second.Wait()
}

// TestRowsLeavesNothingBehind: whatever Rows started has ended when it returns, and a reader who gives up does not wait
// for the one whose fetch it joined.
func TestRowsLeavesNothingBehind(t *testing.T) {
	root, m := largeIndex(t, 2*Fanout)
	l := root.Layout()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int64
		index := NewIndex(root, func(ctx context.Context, p []byte, off int64, check func() error) error {
			under.Add(1)
			defer under.Add(-1)
			switch {
			case off >= l.LevelOffset(1):
				<-ctx.Done() // the node above the rows hangs
				time.Sleep(time.Millisecond)
				return ctx.Err()
			case off == l.RowOffset(7):
				return broken
			}
			if _, err := m.ReadAt(p, off); err != nil {
				return err
			}
			return check()
		})
		if _, err := index.Rows(t.Context(), 7, 1); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if n := under.Load(); n != 0 {
			t.Errorf("%d fetches are under way after Rows has returned", n)
		}

		first, stop := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		waiting.Go(func() { _, _ = index.Rows(first, 0, 1) })
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := index.Rows(impatient, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second reader: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the second reader waited %v for the first", took)
		}
		stop()
		waiting.Wait()
	})
}
