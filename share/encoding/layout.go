package encoding

import (
	"fmt"

	"cairn/share"
)

// DigestSize is the length of a digest in bytes.
const DigestSize = len(share.Digest{})

// A Layout is the shape of an encoded file and of its shares. Everything in it follows from four numbers of the
// root; see docs/formats.md, "Encoded file" and "Share".
//
// A share is, one after the other: the blocks of its column; level 0 of the index, which has one row of N block
// digests for each segment; level 1, one digest for each segment; level 2, one for every 256 digests of level 1;
// and so on while a level has more than one digest (the last one stands in the root); then the root block.
type Layout struct {
	Needed    int
	Total     int
	BlockSize int
	Size      int64
}

// Validate checks the bounds of docs/formats.md.
func (l Layout) Validate() error {
	if err := (share.Params{Needed: l.Needed, Happy: l.Needed, Total: l.Total}).Validate(); err != nil {
		return err
	}
	if !ValidBlockSize(l.BlockSize) {
		return fmt.Errorf("block size is %d: want a power of two from %d to %d", l.BlockSize, MinBlockSize, MaxBlockSize)
	}
	if l.Size < 0 || l.Size > MaxSize {
		return fmt.Errorf("size is %d: want 0 to %d", l.Size, int64(MaxSize))
	}
	return nil
}

// SegmentSize returns the bytes of ciphertext in a full segment.
func (l Layout) SegmentSize() int64 { return int64(l.Needed) * int64(l.BlockSize) }

// Segments returns the number of segments, at least one.
func (l Layout) Segments() int64 {
	return max(1, (l.Size+l.SegmentSize()-1)/l.SegmentSize())
}

// SegmentLen returns the bytes of ciphertext in segment i.
func (l Layout) SegmentLen(i int64) int {
	return int(min(l.SegmentSize(), l.Size-i*l.SegmentSize()))
}

// BlockLen returns the bytes of each block of segment i. All segments but the last have full blocks; those of the
// last are as long as the k-th part of what is left, rounded up to a byte.
func (l Layout) BlockLen(i int64) int {
	return (l.SegmentLen(i) + l.Needed - 1) / l.Needed
}

// BlockOffset returns where the block of segment i starts in a share.
func (l Layout) BlockOffset(i int64) int64 { return i * int64(l.BlockSize) }

// blocksLen is the length of all blocks of a share.
func (l Layout) blocksLen() int64 {
	last := l.Segments() - 1
	return last*int64(l.BlockSize) + int64(l.BlockLen(last))
}

// RowLen returns the bytes of one row of level 0: the digests of the N blocks of a segment.
func (l Layout) RowLen() int { return l.Total * DigestSize }

// RowOffset returns where the row of segment i starts in a share.
func (l Layout) RowOffset(i int64) int64 { return l.blocksLen() + i*int64(l.RowLen()) }

// SegmentAt returns the segment whose block or row is at an offset of a share, share.NoSegment where neither is.
func (l Layout) SegmentAt(off int64) int64 {
	switch {
	case off < 0 || off >= l.RowOffset(l.Segments()):
		return share.NoSegment
	case off < l.blocksLen():
		return off / int64(l.BlockSize)
	}
	return (off - l.blocksLen()) / int64(l.RowLen())
}

// LevelCount returns how many digests level n ≥ 1 of the index has. The first level with a single digest is the
// top: its digest is the root's Index and it is not part of the share.
func (l Layout) LevelCount(level int) int64 {
	count := l.Segments()
	for ; level > 1; level-- {
		count = (count + Fanout - 1) / Fanout
	}
	return count
}

// Top returns the number of the level that has a single digest.
func (l Layout) Top() int {
	level := 1
	for count := l.Segments(); count > 1; count = (count + Fanout - 1) / Fanout {
		level++
	}
	return level
}

// LevelOffset returns where level n ≥ 1 starts in a share; for n = Top it is where the root starts.
func (l Layout) LevelOffset(level int) int64 {
	off := l.RowOffset(l.Segments())
	for n := 1; n < level; n++ {
		off += l.LevelCount(n) * int64(DigestSize)
	}
	return off
}

// RootOffset returns where the root block starts in a share; it ends with it.
func (l Layout) RootOffset() int64 { return l.LevelOffset(l.Top()) }

// A Span is a piece of one block of plain data.
type Span struct {
	Segment int64
	Number  share.Number // the share that holds it as plain data
	Offset  int          // of the piece in the block
	Len     int
}

// Locate returns the piece of one block that starts at offset off of the file, at most n bytes long. off is
// smaller than Size.
func (l Layout) Locate(off int64, n int) Span {
	segment := off / l.SegmentSize()
	within := int(off % l.SegmentSize())
	blockLen := l.BlockLen(segment)
	s := Span{Segment: segment, Number: share.Number(within / blockLen), Offset: within % blockLen}
	s.Len = min(n, blockLen-s.Offset, l.SegmentLen(segment)-within)
	return s
}
