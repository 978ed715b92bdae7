package wire

import (
	"math/bits"
	"sync"
)

// A Buffer is a slice of bytes from a pool.
type Buffer struct {
	B     []byte
	class int
}

// minClass is the binary logarithm of the smallest pooled size.
const minClass = 12

// buffers has one pool for each power of two from 4 KiB to 2 MiB.
var buffers [10]sync.Pool

// GetBuffer returns a buffer of n bytes, at most 2 MiB, with arbitrary contents. Free gives it back.
func GetBuffer(n int) *Buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minClass) - minClass
	b, ok := buffers[class].Get().(*Buffer)
	if !ok {
		b = &Buffer{B: make([]byte, 1<<(class+minClass)), class: class}
	}
	b.B = b.B[:n]
	return b
}

// Free gives the buffer back to the pool. It must not be used afterwards.
func (b *Buffer) Free() {
	b.B = b.B[:cap(b.B)]
	buffers[b.class].Put(b)
}
