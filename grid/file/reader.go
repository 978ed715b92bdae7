package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"cairn/share"
	"cairn/share/keys"
)

// ErrWrongKey says that the key of a capability is not that of the file: it was mistyped or belongs to another file.
var ErrWrongKey = errors.New("the key is not the key of this file")

// Read-ahead of WriteTo. The window starts small, so that short reads fetch little, and grows while it is used.
const (
	firstWindow = 4
	maxWindow   = 48
	windowBytes = 16 << 20
	rowsAhead   = 32
)

// A Reader reads the plaintext of a file. It is safe for concurrent use.
type Reader struct {
	source *Source
	file   keys.File
}

// Open finds a file on the servers for reading with its key. Besides the errors of OpenSource it returns ErrWrongKey.
func Open(ctx context.Context, servers []share.Server, index share.StorageIndex, key keys.ReadKey, log *slog.Logger) (*Reader, error) {
	source, err := OpenSource(ctx, servers, index, log)
	if err != nil {
		return nil, err
	}
	file := key.File(source.root.Salt)
	if !file.Commits(source.root.Commitment) {
		source.Close()
		return nil, fmt.Errorf("open %s: %w", index, ErrWrongKey)
	}
	return &Reader{source: source, file: file}, nil
}

// Size returns the length of the file in bytes.
func (r *Reader) Size() int64 { return r.source.root.Size }

// Source returns what the reader reads from.
func (r *Reader) Source() *Source { return r.source }

// Close ends all reads.
func (r *Reader) Close() error { return r.source.Close() }

// ReadAt fills p from offset off of the file. Like io.ReaderAt it returns io.EOF when the file ends first. It fetches
// just the blocks that cover the range.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at offset %d: negative", off)
	}
	end := min(off+int64(len(p)), r.Size())
	total := max(0, end-off)
	l := r.source.layout
	for done := int64(0); done < total; {
		segment := (off + done) / l.SegmentSize()
		stop := min(end, segment*l.SegmentSize()+int64(l.SegmentLen(segment)))
		rows, err := r.source.Rows(ctx, segment, 1)
		if err != nil {
			return int(done), fmt.Errorf("read the index at segment %d: %w", segment, err)
		}
		err = r.segment(ctx, segment, rows[0], off+done, stop, func(piece []byte) error {
			done += int64(copy(p[done:], piece))
			return nil
		})
		if err != nil {
			return int(done), err
		}
	}
	if int(total) < len(p) {
		return int(total), io.EOF
	}
	return int(total), nil
}

// segment gives the pieces of the plaintext of one segment from offset off of the file up to end, in order. A piece is
// valid during the call only.
func (r *Reader) segment(ctx context.Context, i int64, row []share.Digest, off, end int64, give func([]byte) error) error {
	blocks, err := r.fetch(ctx, i, row, off, end)
	if err != nil {
		return err
	}
	defer r.source.Free(blocks)
	return r.pieces(i, blocks, off, end, give)
}

// fetch returns the verified and decrypted data blocks of segment i that cover the range.
func (r *Reader) fetch(ctx context.Context, i int64, row []share.Digest, off, end int64) ([][]byte, error) {
	l := r.source.layout
	blockLen := int64(l.BlockLen(i))
	start := i * l.SegmentSize()
	covers := func(n share.Number) bool {
		from := start + int64(n)*blockLen
		return from < end && from+blockLen > off
	}
	blocks, err := r.source.Blocks(ctx, i, row, covers)
	if err != nil {
		return nil, err
	}
	for j := range l.Needed {
		if covers(share.Number(j)) {
			r.file.XORKeyStream(blocks[j], blocks[j], start+int64(j)*blockLen)
		}
	}
	return blocks, nil
}

func (r *Reader) pieces(i int64, blocks [][]byte, off, end int64, give func([]byte) error) error {
	l := r.source.layout
	start := i * l.SegmentSize()
	for off < end {
		span := l.Locate(off, int(min(end-off, l.SegmentSize())))
		if off+int64(span.Len) > start+int64(l.SegmentLen(i)) {
			return fmt.Errorf("segment %d: the range leaves the segment", i)
		}
		if err := give(blocks[span.Number][span.Offset : span.Offset+span.Len]); err != nil {
			return err
		}
		off += int64(span.Len)
	}
	return nil
}

// A pending segment is being fetched for WriteTo.
type pending struct {
	segment  int64
	off, end int64
	blocks   [][]byte
	err      error
	done     chan struct{}
}

// WriteTo writes n bytes of the file from offset off on to w, fewer where the file ends first, and returns how many it
// wrote. Segments are fetched ahead and written in order; nothing is held back for the whole file. An error of w is
// returned as it is.
func (r *Reader) WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	if off < 0 || n < 0 {
		return 0, fmt.Errorf("read %d bytes at offset %d: negative", n, off)
	}
	end := min(off+min(n, r.Size()), r.Size())
	if off >= end {
		return 0, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan *pending, maxWindow)
	slots := newWindow(r.source.layout.SegmentSize())
	group.Go(func() error {
		defer close(queue)
		return r.readAhead(ctx, group, slots, queue, off, end)
	})
	written, err := r.writeQueue(ctx, w, slots, queue)
	cancel()
	if waited := group.Wait(); err == nil && off+written < end {
		err = waited
	}
	for p := range queue { // what was fetched for nothing
		<-p.done
		r.source.Free(p.blocks)
	}
	return written, err
}

// readAhead starts a fetch for every segment of the range as slots come free.
func (r *Reader) readAhead(ctx context.Context, group *errgroup.Group, slots *window, queue chan<- *pending, off, end int64) error {
	l := r.source.layout
	var rows [][]share.Digest
	for off < end {
		segment := off / l.SegmentSize()
		if len(rows) == 0 {
			var err error
			left := (end-1)/l.SegmentSize() - segment + 1
			if rows, err = r.source.Rows(ctx, segment, int(min(left, rowsAhead))); err != nil {
				return fmt.Errorf("read the index at segment %d: %w", segment, err)
			}
		}
		if err := slots.take(ctx); err != nil {
			return err
		}
		p := &pending{segment: segment, off: off, done: make(chan struct{})}
		p.end = min(end, segment*l.SegmentSize()+int64(l.SegmentLen(segment)))
		row := rows[0]
		rows, off = rows[1:], p.end
		group.Go(func() error {
			defer close(p.done)
			p.blocks, p.err = r.fetch(ctx, p.segment, row, p.off, p.end)
			return nil // reported in order by the writer
		})
		queue <- p
	}
	return nil
}

func (r *Reader) writeQueue(ctx context.Context, w io.Writer, slots *window, queue <-chan *pending) (written int64, err error) {
	for p := range queue {
		<-p.done
		if p.err != nil {
			return written, p.err
		}
		err := r.pieces(p.segment, p.blocks, p.off, p.end, func(piece []byte) error {
			n, err := w.Write(piece)
			written += int64(n)
			return err
		})
		r.source.Free(p.blocks)
		if err != nil {
			return written, err
		}
		slots.release()
	}
	return written, nil
}

// A window bounds the segments under way. Each release makes room for one more than before until it is full size.
type window struct {
	slots chan struct{}
	held  int // slots kept back until the window has grown
}

func newWindow(segmentSize int64) *window {
	size := int(min(max(windowBytes/segmentSize, 2), maxWindow))
	w := &window{slots: make(chan struct{}, size), held: max(0, size-firstWindow)}
	for range size - w.held {
		w.slots <- struct{}{}
	}
	return w
}

func (w *window) take(ctx context.Context) error {
	select {
	case <-w.slots:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release is called from one goroutine.
func (w *window) release() {
	w.slots <- struct{}{}
	if w.held > 0 {
		w.held--
		w.slots <- struct{}{}
	}
}
