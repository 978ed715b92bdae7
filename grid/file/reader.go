package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"cairn/share"
	"cairn/share/keys"
)

// ErrWrongKey says that the key of a capability is not that of the file: it was mistyped or belongs to another file.
var ErrWrongKey = errors.New("the key is not the key of this file")

// rowsAhead is how many rows of digests WriteTo fetches at a time.
const rowsAhead = 32

// A Reader reads the plaintext of a file. It is safe for concurrent use.
type Reader struct {
	source *Source
	file   keys.File
}

// Open finds a file on the servers for reading with its key. Besides the errors of OpenSource it returns ErrWrongKey.
func Open(
	ctx context.Context, servers []share.Server, index share.StorageIndex, key keys.ReadKey, log *slog.Logger, find ...Finder,
) (*Reader, error) {
	source, err := OpenSource(ctx, servers, index, log, find...)
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
	want := p[:max(0, min(int64(len(p)), r.Size()-off))]
	if len(want) > 0 {
		n, err := r.WriteTo(ctx, &filler{want}, off, int64(len(want)))
		if err != nil {
			return int(n), err
		}
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// A filler is a writer into the bytes that are left.
type filler struct{ left []byte }

func (f *filler) Write(p []byte) (int, error) {
	n := copy(f.left, p)
	f.left = f.left[n:]
	return n, nil
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

// WriteTo writes n bytes of the file from offset off on to w, fewer where the file ends first, and returns how many it
// wrote. Segments are fetched ahead and written in order; nothing is held back for the whole file. An error of w is
// returned as it is.
func (r *Reader) WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	if off < 0 || n < 0 {
		return 0, fmt.Errorf("read %d bytes at offset %d: negative", n, off)
	}
	if off >= r.Size() || n == 0 {
		return 0, nil
	}
	end := off + min(n, r.Size()-off)
	ctx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	// Neither is ever full: what is in them has a slot.
	queue, groups := make(chan *pending, maxWindow), make(chan *group, maxWindow)
	slots := newWindow(r.source.layout.SegmentSize())
	var ended error // of readAhead; what was fetched before is written all the same
	fetching.Go(func() {
		defer close(queue)
		ended = r.readAhead(ctx, &fetching, slots, queue, off, end)
	})
	fetching.Go(func() {
		defer close(groups)
		r.gather(ctx, &fetching, queue, groups)
	})
	written, err := r.writeGroups(w, slots, groups)
	cancel()
	fetching.Wait()
	for g := range groups { // what was fetched for nothing
		g.free(r.source)
	}
	if err == nil && off+written < end {
		err = ended
	}
	return written, err
}

// readAhead starts a fetch for every segment of the range as slots come free.
func (r *Reader) readAhead(ctx context.Context, fetching *sync.WaitGroup, slots *window, queue chan<- *pending, off, end int64) error {
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
		p := &pending{layout: l, segment: segment, row: rows[0], off: off, done: make(chan struct{})}
		p.end = min(end, segment*l.SegmentSize()+int64(l.SegmentLen(segment)))
		rows, off = rows[1:], p.end
		fetching.Go(func() {
			defer close(p.done)
			p.blocks, p.from, p.err = r.source.unchecked(ctx, p.segment, p.row, p.covers)
		})
		queue <- p
	}
	return nil
}

// writeGroups writes the segments in order, and stops at the first that could not be fetched.
func (r *Reader) writeGroups(w io.Writer, slots *window, groups <-chan *group) (written int64, err error) {
	for g := range groups {
		<-g.done
		for _, p := range g.segments {
			n, err := r.write(w, p)
			written += n
			r.source.Free(p.blocks)
			if err != nil {
				g.free(r.source)
				return written, err
			}
			slots.release(&r.source.blockPace)
		}
	}
	return written, nil
}

// write writes what was asked for of one segment.
func (r *Reader) write(w io.Writer, p *pending) (written int64, err error) {
	if p.err != nil {
		return 0, p.err
	}
	err = r.pieces(p.segment, p.blocks, p.off, p.end, func(piece []byte) error {
		n, err := w.Write(piece)
		written += int64(n)
		if err == nil && n < len(piece) {
			err = io.ErrShortWrite
		}
		return err
	})
	return written, err
}
