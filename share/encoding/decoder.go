package encoding

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"cairn/share"
	"cairn/share/erasure"
)

// Recover fills in the missing ones of the data blocks of a segment from any k verified blocks, and checks what it
// made against the row of digests. Missing blocks have length zero; one with enough capacity is filled in place. An
// uploader who committed to parity that does not belong to the data gets ErrCorrupt here, so that all readers see the
// committed bytes or an error (docs/formats.md, invariant 1).
func Recover(code *erasure.Code, row []share.Digest, blocks [][]byte, blockLen int) error {
	var missing []int
	for j := range code.Needed() {
		if len(blocks[j]) == 0 {
			missing = append(missing, j)
		}
	}
	if blockLen == 0 || len(missing) == 0 {
		return nil
	}
	if err := code.Reconstruct(blocks, blockLen); err != nil {
		return err
	}
	for _, j := range missing {
		if sha256.Sum256(blocks[j]) != row[j] {
			return fmt.Errorf("%w: block %d made from the other shares does not match its digest: the file was encoded inconsistently", share.ErrCorrupt, j)
		}
	}
	return nil
}

// A MismatchError says that bytes of the index are not those that the root commits to: whoever sent them is to blame.
// It wraps share.ErrCorrupt.
type MismatchError struct{ What string }

func (e *MismatchError) Error() string { return e.What + " does not match its digest" }

// Unwrap returns share.ErrCorrupt.
func (e *MismatchError) Unwrap() error { return share.ErrCorrupt }

// A Fetch fills p with the bytes at offset off of any share of the file (the index is the same in all of them) such
// that check accepts them, and returns an error when no holder can give such bytes. It never calls check concurrently.
// The sender of p is to blame for a *MismatchError of check, and another one may do better. Any other error of check
// concerns another part of the index, which no sender of p can help: it ends the fetch, and must not come back wrapping
// a *MismatchError.
type Fetch func(ctx context.Context, p []byte, off int64, check func() error) error

// cachedNodes bounds the index nodes that an Index keeps: 8 KiB each.
const cachedNodes = 64

// An Index reads the rows of digests of a file, each verified up to the root. It is safe for concurrent use.
type Index struct {
	layout Layout
	top    share.Digest
	fetch  Fetch

	mu      sync.Mutex
	nodes   map[nodeID][]share.Digest
	order   []nodeID // oldest first
	flights map[nodeID]*flight
}

// A nodeID names the group-th run of up to 256 digests of a level: the children of one node of the level above.
type nodeID struct {
	level int
	group int64
}

// A flight is the fetch of one node, by the reader who needed it first. Others wait for it.
type flight struct {
	done    chan struct{} // closed when the fields below are set
	digests []share.Digest
	err     error
	gaveUp  bool // the reader who fetched did not want it any more
}

// NewIndex returns the index of the file with that root.
func NewIndex(root Root, fetch Fetch) *Index {
	return &Index{
		layout: root.Layout(), top: root.Index, fetch: fetch,
		nodes: map[nodeID][]share.Digest{}, flights: map[nodeID]*flight{},
	}
}

// Rows returns the verified rows of digests of up to n segments from first on: fewer at the end of the file or of an
// index node. The error is that of the fetch.
func (x *Index) Rows(ctx context.Context, first int64, n int) ([][]share.Digest, error) {
	end := min(first+int64(n), x.layout.Segments(), (first/Fanout+1)*Fanout)
	rowLen := x.layout.RowLen()
	buf := make([]byte, int(end-first)*rowLen)
	rows := make([][]share.Digest, end-first)
	defer x.prefetch(ctx, first)()
	err := x.fetch(ctx, buf, x.layout.RowOffset(first), func() error {
		for i := range rows {
			rows[i] = Digests(buf[i*rowLen:][:rowLen])
			if err := x.checkNode(ctx, 1, first+int64(i), SegmentNode(rows[i])); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// prefetch starts fetching the node above the rows, so that both cost one round trip together; checkNode joins it. The
// caller ends it by calling the function that is returned.
func (x *Index) prefetch(ctx context.Context, segment int64) (end func()) {
	id := nodeID{1, segment / Fanout}
	if x.layout.Top() == 1 || x.cached(id) != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	fetching.Go(func() { _, _ = x.node(ctx, id) }) // whoever joins is told the error
	return func() {
		cancel()
		fetching.Wait()
	}
}

// checkNode compares the encoded node i of a level with its digest as the level above, or the root, gives it.
func (x *Index) checkNode(ctx context.Context, level int, i int64, node []byte) error {
	want := x.top
	if level < x.layout.Top() {
		digests, err := x.node(ctx, nodeID{level, i / Fanout})
		if err != nil {
			return err
		}
		want = digests[i%Fanout]
	}
	if sha256.Sum256(node) != want {
		return &MismatchError{fmt.Sprintf("node %d of level %d of the index", i, level)}
	}
	return nil
}

// node returns one run of digests, verified. Of several readers that need it at once, one fetches; if that one gives up,
// another one does.
func (x *Index) node(ctx context.Context, id nodeID) ([]share.Digest, error) {
	for {
		x.mu.Lock()
		if digests := x.nodes[id]; digests != nil {
			x.mu.Unlock()
			return digests, nil
		}
		f, joined := x.flights[id]
		if !joined {
			f = &flight{done: make(chan struct{})}
			x.flights[id] = f
		}
		x.mu.Unlock()
		if !joined {
			f.digests, f.err = x.load(ctx, id)
			f.gaveUp = ctx.Err() != nil
			x.land(id, f)
			return f.digests, f.err
		}
		select {
		case <-f.done:
			if f.err == nil || !f.gaveUp {
				return f.digests, f.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// land ends a flight.
func (x *Index) land(id nodeID, f *flight) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.flights, id)
	if f.err == nil {
		x.keep(id, f.digests)
	}
	close(f.done)
}

// load fetches one run of digests and verifies it, recursing towards the root.
func (x *Index) load(ctx context.Context, id nodeID) ([]share.Digest, error) {
	first := id.group * Fanout
	count := min(Fanout, x.layout.LevelCount(id.level)-first)
	buf := make([]byte, int(count)*DigestSize)
	var digests []share.Digest
	err := x.fetch(ctx, buf, x.layout.LevelOffset(id.level)+first*int64(DigestSize), func() error {
		digests = Digests(buf)
		return x.checkNode(ctx, id.level+1, id.group, IndexNode(digests))
	})
	return digests, err
}

func (x *Index) cached(id nodeID) []share.Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nodes[id]
}

// keep remembers a node, and forgets the oldest when there are too many. x.mu is held.
func (x *Index) keep(id nodeID, digests []share.Digest) {
	if len(x.order) == cachedNodes {
		delete(x.nodes, x.order[0])
		x.order = x.order[1:]
	}
	x.nodes[id] = digests
	x.order = append(x.order, id)
}
