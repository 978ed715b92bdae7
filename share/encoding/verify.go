package encoding

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"cairn/share"
)

// CheckBlock reports whether a block of segment i is the one that the segment's row of digests lists for the share.
func (l Layout) CheckBlock(i int64, number share.Number, row []share.Digest, block []byte) error {
	switch {
	case int(number) >= l.Total || len(row) != l.Total:
		return fmt.Errorf("%w: share %d of %d with a row of %d digests", share.ErrCorrupt, number, l.Total, len(row))
	case len(block) != l.BlockLen(i):
		return fmt.Errorf("%w: block of %d bytes, want %d", share.ErrCorrupt, len(block), l.BlockLen(i))
	case sha256.Sum256(block) != row[number]:
		return fmt.Errorf("%w: block does not match its digest", share.ErrCorrupt)
	}
	return nil
}

// verifyAhead is how many blocks Verify reads at a time: enough to hide the latency of a remote share.
const verifyAhead = 4

// Verify reads all of a share and checks every byte of it against the storage index: root, every level of the
// index, every block. rootBlock is the root as the share's holder gave it. The error is a *share.CorruptShareError
// without a server for a share that does not verify, or the error of reading it.
func Verify(ctx context.Context, r share.Reader, index share.StorageIndex, number share.Number, rootBlock []byte) error {
	v, err := newVerifier(r, index, number, rootBlock)
	if err != nil {
		return err
	}
	if err := v.checkIndex(ctx); err != nil {
		return err
	}
	return v.checkBlocks(ctx)
}

// VerifySegment is Verify for one segment: it reads the block and what of the index leads from it to the root. For share.NoSegment,
// or one that the file does not have, it reads all of the index and the root instead. A share that travels whole (share.MaxWholeShare) is
// verified whole.
func VerifySegment(ctx context.Context, r share.Reader, index share.StorageIndex, number share.Number, rootBlock []byte, segment int64) error {
	v, err := newVerifier(r, index, number, rootBlock)
	if err != nil {
		return err
	}
	if r.Size() <= share.MaxWholeShare {
		return Verify(ctx, r, index, number, rootBlock)
	}
	if segment < 0 || segment >= v.Segments() {
		return v.checkIndex(ctx)
	}
	lists := NewIndex(v.root, func(ctx context.Context, p []byte, off int64, check func() error) error {
		if _, err := r.ReadAt(ctx, p, off); err != nil {
			return err
		}
		return check()
	})
	rows, err := lists.Rows(ctx, segment, 1)
	if mismatch, ok := errors.AsType[*MismatchError](err); ok {
		return v.corrupt(share.NoSegment, mismatch.Error())
	}
	if err != nil {
		return err
	}
	block := make([]byte, v.BlockLen(segment))
	if _, err := r.ReadAt(ctx, block, v.BlockOffset(segment)); err != nil {
		return err
	}
	if err := v.CheckBlock(segment, number, rows[0], block); err != nil {
		return v.corrupt(segment, err.Error())
	}
	return nil
}

type verifier struct {
	Layout
	root      Root
	rootBlock []byte
	r         share.Reader
	index     share.StorageIndex
	number    share.Number
}

// newVerifier checks what can be checked without reading.
func newVerifier(r share.Reader, index share.StorageIndex, number share.Number, rootBlock []byte) (*verifier, error) {
	v := &verifier{rootBlock: rootBlock, r: r, index: index, number: number}
	var err error
	if v.root, err = CheckRoot(index, rootBlock); err != nil {
		return nil, v.corrupt(share.NoSegment, err.Error())
	}
	v.Layout = v.root.Layout()
	if int(number) >= v.root.Total {
		return nil, v.corrupt(share.NoSegment, fmt.Sprintf("the file has %d shares only", v.root.Total))
	}
	if want := v.RootOffset() + int64(len(rootBlock)); r.Size() != want {
		return nil, v.corrupt(share.NoSegment, fmt.Sprintf("the share is %d bytes long, want %d", r.Size(), want))
	}
	return v, nil
}

func (v *verifier) corrupt(segment int64, reason string) error {
	return &share.CorruptShareError{Index: v.index, Number: v.number, Segment: segment, Reason: reason}
}

// checkIndex checks each level against the one above, from the rows up.
func (v *verifier) checkIndex(ctx context.Context) error {
	in := readerAt{ctx, v.r}
	for level := 1; level <= v.Top(); level++ {
		stored := bufio.NewReaderSize(io.NewSectionReader(in, v.LevelOffset(level), v.LevelCount(level)*int64(DigestSize)), 64<<10)
		err := v.eachNode(in, level, func(i int64, node share.Digest) error {
			want := v.root.Index
			if level < v.Top() {
				if _, err := io.ReadFull(stored, want[:]); err != nil {
					return err
				}
			}
			if node != want {
				return v.corrupt(-1, fmt.Sprintf("node %d of level %d does not match its digest", i, level))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	stored := make([]byte, len(v.rootBlock))
	if _, err := v.r.ReadAt(ctx, stored, v.RootOffset()); err != nil {
		return err
	}
	if !bytes.Equal(stored, v.rootBlock) {
		return v.corrupt(-1, "the root at its end is not the root of the file")
	}
	return nil
}

func (v *verifier) checkBlocks(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(verifyAhead)
	buffers := make(chan []byte, verifyAhead)
	for range verifyAhead {
		buffers <- make([]byte, v.RowLen()+v.BlockSize)
	}
	for i := range v.Segments() {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			buf := <-buffers
			defer func() { buffers <- buf }()
			row, block := buf[:v.RowLen()], buf[v.RowLen():][:v.BlockLen(i)]
			if _, err := v.r.ReadAt(ctx, row, v.RowOffset(i)); err != nil {
				return err
			}
			if _, err := v.r.ReadAt(ctx, block, v.BlockOffset(i)); err != nil {
				return err
			}
			if err := v.CheckBlock(i, v.number, Digests(row), block); err != nil {
				return v.corrupt(i, err.Error())
			}
			return nil
		})
	}
	return group.Wait()
}

// readerAt gives a share.Reader the shape of io.ReaderAt.
type readerAt struct {
	ctx context.Context
	r   share.Reader
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.r.ReadAt(r.ctx, p, off) }
