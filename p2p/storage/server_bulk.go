package storage

import (
	"time"

	"cairn/p2p/wire"
	"cairn/share"
)

const (
	// bulkBlocks is how many blocks of an upload are appended together at most, bulkBytes how many bytes.
	bulkBlocks = 16
	bulkBytes  = 2 << 20
	// fewBlocks is from how many blocks on an upload is worth it.
	fewBlocks = 4
	// bulkAge bounds how long a block waits for others while blocks come.
	bulkAge = 250 * time.Millisecond
)

// A batch gathers blocks of one upload that are appended together. It has memory while the upload lasts, if there is any to have.
type batch struct {
	buffer *wire.Buffer
	none   bool // it got no memory
	rows   []share.Digest
	bytes  int
	began  time.Time
}

// room returns the place of the next block, or nil where the batch takes none.
func (b *batch) room(s *Server, about share.Upload, size int) []byte {
	if b.buffer == nil && !b.acquire(s, about) {
		return nil
	}
	return b.buffer.B[b.bytes : b.bytes+size]
}

func (b *batch) acquire(s *Server, about share.Upload) bool {
	if b.none {
		return false
	}
	b.none = true
	if about.Size >= 0 && about.Size < fewBlocks*int64(about.Needed)*int64(about.BlockSize) {
		return false
	}
	select {
	case s.bulks <- struct{}{}:
		b.buffer = wire.GetBuffer(min(bulkBytes, bulkBlocks*about.BlockSize))
		return true
	default:
		return false
	}
}

// add counts a block that was read into its room, and reports whether the batch should be appended.
func (b *batch) add(digests []share.Digest, size, blockSize int) (full bool) {
	now := time.Now()
	if b.bytes == 0 {
		b.began = now
	}
	b.rows = append(b.rows, digests...)
	b.bytes += size
	return size < blockSize || len(b.buffer.B)-b.bytes < blockSize || now.Sub(b.began) >= bulkAge
}

// take empties the batch. What it returns is valid until the next room.
func (b *batch) take() (rows []share.Digest, blocks []byte) {
	if b.bytes == 0 {
		return nil, nil
	}
	rows, blocks = b.rows, b.buffer.B[:b.bytes]
	b.rows, b.bytes = b.rows[:0], 0
	return rows, blocks
}

// free gives the memory back.
func (b *batch) free(s *Server) {
	if b.buffer != nil {
		b.buffer.Free()
		b.buffer = nil
		<-s.bulks
	}
}
