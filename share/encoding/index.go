package encoding

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"

	"cairn/share"
)

// A link in DAG-CBOR is tag 42 around a byte string: a zero byte, then the binary CID.
const (
	linkSize    = 1 + 4 + DigestSize // zero byte, version, codec, hash function, hash length, digest
	codecRaw    = 0x55
	codecCBOR   = 0x71
	hashSHA2256 = 0x12
)

func linkBytes(d share.Digest) []byte {
	return append([]byte{0, 1, codecCBOR, hashSHA2256, byte(DigestSize)}, d[:]...)
}

// appendNode appends the dag-cbor list of links to blocks of one codec.
func appendNode(dst []byte, codec byte, digests []share.Digest) []byte {
	switch n := len(digests); {
	case n < 24:
		dst = append(dst, 0x80|byte(n))
	case n < 256:
		dst = append(dst, 0x98, byte(n))
	default:
		dst = append(dst, 0x99, byte(n>>8), byte(n))
	}
	for i := range digests {
		dst = append(dst, 0xd8, cidTag, 0x58, byte(linkSize), 0, 1, codec, hashSHA2256, byte(DigestSize))
		dst = append(dst, digests[i][:]...)
	}
	return dst
}

// SegmentNode returns the dag-cbor block of a segment: the list of links to its N blocks.
func SegmentNode(row []share.Digest) []byte { return appendNode(nil, codecRaw, row) }

// IndexNode returns the dag-cbor block of an index node: the list of links to up to 256 nodes of the level below.
func IndexNode(children []share.Digest) []byte { return appendNode(nil, codecCBOR, children) }

// Digests reads digests that stand one after the other; a remainder is ignored.
func Digests(p []byte) []share.Digest {
	out := make([]share.Digest, len(p)/DigestSize)
	for i := range out {
		copy(out[i][:], p[i*DigestSize:])
	}
	return out
}

// AppendDigests appends digests one after the other.
func AppendDigests(dst []byte, digests []share.Digest) []byte {
	for i := range digests {
		dst = append(dst, digests[i][:]...)
	}
	return dst
}

// A tree computes the top of the index from the digests of the segments, keeping at most one node a level.
type tree struct {
	levels [][]share.Digest
}

func (t *tree) add(d share.Digest) { t.addAt(0, d) }

func (t *tree) addAt(level int, d share.Digest) {
	if level == len(t.levels) {
		t.levels = append(t.levels, nil)
	}
	// A full node is closed only when the next digest arrives: a level of exactly 256 may be the last.
	if len(t.levels[level]) == Fanout {
		node := sha256.Sum256(IndexNode(t.levels[level]))
		t.levels[level] = t.levels[level][:0]
		t.addAt(level+1, node)
	}
	t.levels[level] = append(t.levels[level], d)
}

func (t *tree) top() share.Digest {
	for level := 0; ; level++ {
		if level == len(t.levels)-1 && len(t.levels[level]) == 1 {
			return t.levels[level][0]
		}
		node := sha256.Sum256(IndexNode(t.levels[level]))
		t.levels[level] = t.levels[level][:0]
		t.addAt(level+1, node)
	}
}

// BuildIndex computes the levels of the index of a share whose rows (level 0) stand at their place in f, writes
// them behind the rows, and returns the top digest, which the root must carry. It needs memory for one node.
func BuildIndex(f interface {
	io.ReaderAt
	io.WriterAt
}, l Layout,
) (share.Digest, error) {
	for level := 1; ; level++ {
		out := bufio.NewWriterSize(io.NewOffsetWriter(f, l.LevelOffset(level)), 64<<10)
		var last share.Digest
		err := l.eachNode(f, level, func(_ int64, node share.Digest) error {
			last = node
			if level == l.Top() {
				return nil
			}
			_, err := out.Write(node[:])
			return err
		})
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return share.Digest{}, fmt.Errorf("build level %d of the index: %w", level, err)
		}
		if level == l.Top() {
			return last, nil
		}
	}
}

// eachNode calls fn with the digest of each node of one level, computed from the level below, which it reads from f.
func (l Layout) eachNode(f io.ReaderAt, level int, fn func(i int64, node share.Digest) error) error {
	codec, off, size := byte(codecRaw), l.RowOffset(0), int64(l.RowLen())
	end := l.RowOffset(l.Segments())
	if level > 1 {
		codec, off, size = codecCBOR, l.LevelOffset(level-1), Fanout*int64(DigestSize)
		end = l.LevelOffset(level)
	}
	in := bufio.NewReaderSize(io.NewSectionReader(f, off, end-off), 64<<10)
	children := make([]byte, size)
	var node []byte
	for i := range l.LevelCount(level) {
		children := children[:min(size, end-off-i*size)]
		if _, err := io.ReadFull(in, children); err != nil {
			return err
		}
		node = appendNode(node[:0], codec, Digests(children))
		if err := fn(i, sha256.Sum256(node)); err != nil {
			return err
		}
	}
	return nil
}
