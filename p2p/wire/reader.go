package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"cairn/share"
)

// readAhead is the size of a Reader's buffer: room for many requests, and small against a block, of which only what
// stands in the buffer is copied twice.
const readAhead = 4 << 10

// A Reader reads frames from a stream. It is used from one goroutine at a time.
type Reader struct {
	in      *bufio.Reader
	payload []byte // for control payloads that do not fit into the buffer
}

var readers = sync.Pool{New: func() any { return &Reader{in: bufio.NewReaderSize(nil, readAhead)} }}

// NewReader returns a Reader from a pool; Free gives it back.
func NewReader(stream io.Reader) *Reader {
	r := readers.Get().(*Reader)
	r.in.Reset(stream)
	return r
}

// Free gives the Reader back to the pool. It must not be used afterwards.
func (r *Reader) Free() {
	r.in.Reset(nil)
	readers.Put(r)
}

// Buffered returns how many bytes can be read without waiting for the stream.
func (r *Reader) Buffered() int { return r.in.Buffered() }

// Wait returns once at least one byte can be read without waiting, or the error that keeps it from happening.
func (r *Reader) Wait() error {
	_, err := r.in.Peek(1)
	return err
}

// Next reads the header of the next frame. It returns io.EOF only where a stream ends between two frames.
func (r *Reader) Next() (Kind, int, error) {
	header, err := r.in.Peek(HeaderSize)
	if err != nil {
		if err == io.EOF && len(header) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, err
	}
	kind, n, err := ParseHeader(header)
	if err != nil {
		return 0, 0, err
	}
	_, _ = r.in.Discard(HeaderSize) // cannot fail, the bytes are there
	return kind, n, nil
}

// Payload reads a payload of n bytes. The slice is valid until the next call of any method.
func (r *Reader) Payload(n int) ([]byte, error) {
	if n <= r.in.Size() {
		p, err := r.in.Peek(n)
		if err != nil {
			return nil, unexpected(err)
		}
		_, _ = r.in.Discard(n)
		return p, nil
	}
	if cap(r.payload) < n {
		r.payload = make([]byte, n)
	}
	err := r.Fill(r.payload[:n])
	return r.payload[:n], err
}

// Fill reads len(p) bytes of a payload into p.
func (r *Reader) Fill(p []byte) error {
	_, err := io.ReadFull(r.in, p)
	return unexpected(err)
}

// Burst reads at least one and at most len(p) bytes of a payload into p. After Wait it takes what is there without
// waiting for more, except where what is there ends with the Reader's buffer.
func (r *Reader) Burst(p []byte) (int, error) {
	more := r.in.Buffered() == r.in.Size()
	n, err := r.in.Read(p)
	if more && err == nil && n < len(p) {
		var m int
		m, err = r.in.Read(p[n:])
		n += m
	}
	return n, unexpected(err)
}

// FillBlock reads the data frames of a block that is as long as p.
func (r *Reader) FillBlock(p []byte) error {
	for len(p) > 0 {
		kind, n, err := r.Next()
		if err != nil {
			return unexpected(err)
		}
		if kind != KindData || n != min(len(p), MaxData) {
			return fmt.Errorf("frame of kind %#02x with %d bytes in a block: %w", byte(kind), n, share.ErrCorrupt)
		}
		if err := r.Fill(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// Receive reads the payload of a control frame whose header was read.
func Receive[M Message](r *Reader, n int) (M, error) {
	payload, err := r.Payload(n)
	if err != nil {
		var none M
		return none, err
	}
	return Decode[M](payload)
}

// Answer reads the next frame, which must carry an M. An Error of the peer is returned as the error.
func Answer[M Message](r *Reader) (M, error) {
	kind, n, err := r.Next()
	if err != nil {
		var none M
		return none, unexpected(err)
	}
	return AnswerOf[M](r, kind, n)
}

// AnswerOf is Answer for a frame whose header was read.
func AnswerOf[M Message](r *Reader, kind Kind, n int) (M, error) {
	var none M
	switch kind {
	case none.Kind():
		return Receive[M](r, n)
	case KindError:
		e, err := Receive[Error](r, n)
		if err == nil {
			err = e
		}
		return none, err
	}
	return none, fmt.Errorf("answer of kind %#02x, want %#02x: %w", byte(kind), byte(none.Kind()), share.ErrCorrupt)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
