package encoding

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"cairn/share"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// ErrLength says that a stream was longer or shorter than announced.
var ErrLength = errors.New("length differs from what was announced")

// Options are the shape of a file that is being encoded.
type Options struct {
	Code      *erasure.Code
	BlockSize int    // bytes; see ValidBlockSize
	Salt      []byte // versions of mutable files only
	// Size is the length of the stream in bytes, or -1 where it is unknown. A stream of another length is an error.
	Size int64
	// Buffers bounds how many segments exist at a time, read but not yet released; at least 2.
	Buffers int
}

// A Segment is one encoded segment. It belongs to the encoder's pool: whoever has got it by Encode's emit, or
// by Retain, calls Release once when done with its blocks.
type Segment struct {
	Index   int64
	Digests []share.Digest // of the N blocks
	Bytes   int            // of plaintext

	buf    []byte
	blocks [][]byte
	refs   atomic.Int32
	free   chan<- *Segment
}

// Block returns the block for one share. It must not be changed, nor used after Release.
func (s *Segment) Block(n share.Number) []byte { return s.blocks[n] }

// Retain adds n users, each of which calls Release.
func (s *Segment) Retain(n int) { s.refs.Add(int32(n)) }

// Release ends one use. The last one returns the memory to the encoder.
func (s *Segment) Release() {
	if s.refs.Add(-1) == 0 {
		s.free <- s
	}
}

// Encode reads r to its end, encrypts it with file's key, cuts it into segments and hands each to emit, in order
// and from the calling goroutine, with one reference that emit owns. Segments are encrypted, coded and hashed by as
// many goroutines as there are processors. It returns the root when all segments are emitted. An error of emit ends
// it and is returned as it is.
//
// Only io.EOF is the end of r: io.ErrUnexpectedEOF, as a connection that broke gives, is an error like any other. When
// ctx ends or emit fails, Encode does not wait for ever for a Read that hangs: it returns after a second, and that one
// Read ends whenever r lets it. Whoever has an r that can hang closes it then; nothing else is left behind.
func Encode(ctx context.Context, r io.Reader, file keys.File, o Options, emit func(*Segment) error) (Root, error) {
	e := encoder{
		Options: o, file: file,
		layout: Layout{Needed: o.Code.Needed(), Total: o.Code.Total(), BlockSize: o.BlockSize, Size: max(o.Size, 0)},
	}
	if err := e.layout.Validate(); err != nil {
		return Root{}, fmt.Errorf("encode: %w", err)
	}
	size, top, err := e.run(ctx, r, emit)
	if err != nil {
		return Root{}, err
	}
	return Root{
		Needed: e.layout.Needed, Total: e.layout.Total, BlockSize: o.BlockSize, Size: size,
		Commitment: file.Commitment(), Salt: o.Salt, Index: top,
	}, nil
}

type encoder struct {
	Options
	file   keys.File
	layout Layout
}

// readDelay is how long a Read in progress may hold up an encoder that has no more use for it.
const readDelay = time.Second

// run connects the stages: one goroutine reads, one gathers, a bounded number transforms, the caller's emits in order.
func (e *encoder) run(ctx context.Context, r io.Reader, emit func(*Segment) error) (int64, share.Digest, error) {
	ctx, cancel := context.WithCancel(ctx)
	filled := make(chan *Segment)
	ordered := make(chan *group, max(1, runtime.GOMAXPROCS(0)-1))
	read := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(filled)
		read <- e.read(ctx, r, filled)
	}()
	var gathering sync.WaitGroup
	gathering.Go(func() { e.gather(ctx, filled, ordered) })
	defer func() {
		cancel()
		gathering.Wait()
		waitFor(ended, readDelay)
	}()

	var tree tree
	var size int64
	for {
		var g *group
		select {
		case g = <-ordered:
		case <-ctx.Done():
			return 0, share.Digest{}, ctx.Err()
		}
		if g == nil {
			break
		}
		if err := <-g.done; err != nil {
			return 0, share.Digest{}, err
		}
		for _, s := range g.segments {
			tree.add(sha256.Sum256(SegmentNode(s.Digests)))
			size += int64(s.Bytes)
			if err := emit(s); err != nil {
				return 0, share.Digest{}, err
			}
		}
	}
	if err := <-read; err != nil {
		return 0, share.Digest{}, err
	}
	return size, tree.top(), nil
}

// waitFor waits until done is closed, but no longer than limit.
func waitFor(done <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// read cuts r into segments and passes them on.
func (e *encoder) read(ctx context.Context, r io.Reader, filled chan<- *Segment) error {
	free := make(chan *Segment, max(e.Buffers, 2))
	allocated := 0
	for index, total := int64(0), int64(0); ; index++ {
		s, err := e.take(ctx, free, &allocated)
		if err != nil {
			return err
		}
		n, last, err := e.fill(r, s.buf, total)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // the encoder may be gone since the Read began
			return ctx.Err()
		}
		if n == 0 && index > 0 {
			return nil
		}
		total += int64(n)
		s.Index, s.Bytes = index, n
		s.refs.Store(1)
		select {
		case filled <- s:
		case <-ctx.Done():
			return ctx.Err()
		}
		if last {
			return nil
		}
	}
}

// take returns a segment from the pool, which grows to the bound before it waits.
func (e *encoder) take(ctx context.Context, free chan *Segment, allocated *int) (*Segment, error) {
	select {
	case s := <-free:
		return s, nil
	default:
	}
	if *allocated < cap(free) {
		*allocated++
		return e.newSegment(free), nil
	}
	select {
	case s := <-free:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *encoder) newSegment(free chan<- *Segment) *Segment {
	blockLen := e.layout.BlockSize
	if e.Size >= 0 && e.Size < e.layout.SegmentSize() {
		blockLen = e.layout.BlockLen(0) // a small file needs no full segment
	}
	return &Segment{
		Digests: make([]share.Digest, e.layout.Total),
		buf:     make([]byte, blockLen*e.layout.Total),
		blocks:  make([][]byte, e.layout.Total),
		free:    free,
	}
}

// fill reads the plaintext of one segment, of which total bytes came before, and reports whether it is the last.
func (e *encoder) fill(r io.Reader, buf []byte, total int64) (n int, last bool, err error) {
	want := min(int64(len(buf)/e.layout.Total*e.layout.Needed), e.layout.SegmentSize())
	if e.Size >= 0 {
		want = min(want, e.Size-total)
	}
	n, err = readFull(r, buf[:want])
	if err == io.EOF {
		if e.Size >= 0 && total+int64(n) < e.Size {
			return 0, false, fmt.Errorf("encode: %w: %d bytes came, %d were announced", ErrLength, total+int64(n), e.Size)
		}
		return n, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read at offset %d: %w", total+int64(n), err)
	}
	if total += int64(n); total > MaxSize {
		return 0, false, fmt.Errorf("encode: %w: a file has at most %d bytes", share.ErrTooLarge, int64(MaxSize))
	}
	if total == e.Size {
		return n, true, e.expectEnd(r)
	}
	return n, false, nil
}

// readFull reads until p is full. Unlike io.ReadFull it returns io.EOF, after any number of bytes, if and only if r did:
// a stream that was cut off must not pass for a shorter one.
func readFull(r io.Reader, p []byte) (n int, err error) {
	const patience = 100 // reads that yield nothing
	for idle := 0; n < len(p) && err == nil; {
		var m int
		m, err = r.Read(p[n:])
		if n += m; m > 0 {
			idle = 0
		} else if idle++; idle == patience && err == nil {
			err = io.ErrNoProgress
		}
	}
	if n == len(p) {
		return n, nil
	}
	return n, err
}

func (e *encoder) expectEnd(r io.Reader) error {
	var probe [1]byte
	switch n, err := readFull(r, probe[:]); {
	case n > 0:
		return fmt.Errorf("encode: %w: more than the %d bytes announced", ErrLength, e.Size)
	case err == io.EOF:
		return nil
	default:
		return fmt.Errorf("read at offset %d: %w", e.Size, err)
	}
}
