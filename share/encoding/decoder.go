package encoding

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/singleflight"

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
// The sender of p is to blame for a *MismatchError of check; any other error of check concerns another part of the
// index and must not come back wrapping a *MismatchError.
type Fetch func(ctx context.Context, p []byte, off int64, check func() error) error

// cachedNodes bounds the index nodes that an Index keeps: 8 KiB each.
const cachedNodes = 64

// An Index reads the rows of digests of a file, each verified up to the root. It is safe for concurrent use.
type Index struct {
	layout Layout
	top    share.Digest
	fetch  Fetch
	flight singleflight.Group

	mu    sync.Mutex
	nodes map[nodeID][]share.Digest
	order []nodeID // oldest first
}

// A nodeID names the group-th run of up to 256 digests of a level: the children of one node of the level above.
type nodeID struct {
	level int
	group int64
}

// NewIndex returns the index of the file with that root.
func NewIndex(root Root, fetch Fetch) *Index {
	return &Index{layout: root.Layout(), top: root.Index, fetch: fetch, nodes: map[nodeID][]share.Digest{}}
}

// Rows returns the verified rows of digests of up to n segments from first on: fewer at the end of the file or of an
// index node. The error is that of the fetch.
func (x *Index) Rows(ctx context.Context, first int64, n int) ([][]share.Digest, error) {
	end := min(first+int64(n), x.layout.Segments(), (first/Fanout+1)*Fanout)
	rowLen := x.layout.RowLen()
	buf := make([]byte, int(end-first)*rowLen)
	rows := make([][]share.Digest, end-first)
	x.prefetch(ctx, first)
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

// prefetch starts fetching the node above the rows, so that both cost one round trip together; checkNode joins it.
func (x *Index) prefetch(ctx context.Context, segment int64) {
	id := nodeID{1, segment / Fanout}
	if x.layout.Top() > 1 && x.cached(id) == nil {
		x.flight.DoChan(id.key(), x.loader(ctx, id))
	}
}

func (id nodeID) key() string { return fmt.Sprintf("%d/%d", id.level, id.group) }

// checkNode compares the encoded node i of a level with its digest as the level above, or the root, gives it.
func (x *Index) checkNode(ctx context.Context, level int, i int64, node []byte) error {
	want, err := x.digest(ctx, level, i)
	if err != nil {
		return err
	}
	if sha256.Sum256(node) != want {
		return &MismatchError{fmt.Sprintf("node %d of level %d of the index", i, level)}
	}
	return nil
}

func (x *Index) digest(ctx context.Context, level int, i int64) (share.Digest, error) {
	if level == x.layout.Top() {
		return x.top, nil
	}
	id := nodeID{level, i / Fanout}
	if digests := x.cached(id); digests != nil {
		return digests[i%Fanout], nil
	}
	for {
		v, err, _ := x.flight.Do(id.key(), x.loader(ctx, id))
		switch _, abandoned := errors.AsType[*abandonedError](err); {
		case err == nil:
			return v.([]share.Digest)[i%Fanout], nil
		case abandoned && ctx.Err() == nil:
			// Another reader started the fetch and gave up; this one has not.
		default:
			return share.Digest{}, err
		}
	}
}

// An abandonedError is that of a fetch whose reader was cancelled or ran out of time. It says nothing about the index.
type abandonedError struct{ error }

func (e *abandonedError) Unwrap() error { return e.error }

// loader returns load as a flight that readers share, and marks the error of a reader that gave up.
func (x *Index) loader(ctx context.Context, id nodeID) func() (any, error) {
	return func() (any, error) {
		digests, err := x.load(ctx, id)
		if err != nil && ctx.Err() != nil {
			err = &abandonedError{err}
		}
		return digests, err
	}
}

// load fetches one run of digests and verifies it, recursing towards the root.
func (x *Index) load(ctx context.Context, id nodeID) ([]share.Digest, error) {
	if digests := x.cached(id); digests != nil {
		return digests, nil
	}
	first := id.group * Fanout
	count := min(Fanout, x.layout.LevelCount(id.level)-first)
	buf := make([]byte, int(count)*DigestSize)
	var digests []share.Digest
	err := x.fetch(ctx, buf, x.layout.LevelOffset(id.level)+first*int64(DigestSize), func() error {
		digests = Digests(buf)
		return x.checkNode(ctx, id.level+1, id.group, IndexNode(digests))
	})
	if err != nil {
		return nil, err
	}
	x.keep(id, digests)
	return digests, nil
}

func (x *Index) cached(id nodeID) []share.Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.nodes[id]
}

func (x *Index) keep(id nodeID, digests []share.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.nodes[id]; ok {
		return
	}
	if len(x.order) == cachedNodes {
		delete(x.nodes, x.order[0])
		x.order = x.order[1:]
	}
	x.nodes[id] = digests
	x.order = append(x.order, id)
}
