package encoding

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"cairn/share"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// Shares encodes a file that is in memory and returns its root and its N shares, each as docs/formats.md, "Share" lays it
// out. It is for small files: everything is in memory at once. Size and Buffers of the options are not read.
func Shares(data []byte, file keys.File, o Options) (Root, [][]byte, error) {
	l := Layout{Needed: o.Code.Needed(), Total: o.Code.Total(), BlockSize: o.BlockSize, Size: int64(len(data))}
	if err := l.Validate(); err != nil {
		return Root{}, nil, fmt.Errorf("encode: %w", err)
	}
	e := encoder{Options: o, file: file, layout: l}
	e.Size = l.Size
	blocks := make([][]byte, l.Total)
	arena := make([]byte, int64(l.Total)*(l.LevelOffset(l.Top())+MaxRootSize))
	for j := range blocks {
		size := len(arena) / l.Total
		blocks[j] = arena[j*size : j*size : (j+1)*size]
	}
	tail, top, err := e.whole(data, blocks)
	if err != nil {
		return Root{}, nil, err
	}
	root := Root{
		Needed: l.Needed, Total: l.Total, BlockSize: o.BlockSize, Size: l.Size, Commitment: file.Commitment(), Salt: o.Salt, Index: top,
	}
	tail = append(tail, root.Marshal()...)
	for j := range blocks {
		blocks[j] = append(blocks[j], tail...)
	}
	return root, blocks, nil
}

// whole appends each share's blocks and returns what stands behind them in all shares but the root, and the top digest.
func (e *encoder) whole(data []byte, blocks [][]byte) ([]byte, share.Digest, error) {
	l := e.layout
	var tail []byte
	var level []share.Digest
	s := e.newSegment(nil)
	for i := range l.Segments() {
		s.Index, s.Bytes = i, l.SegmentLen(i)
		copy(s.buf, data[i*l.SegmentSize():][:s.Bytes])
		if err := e.transform([]*Segment{s}); err != nil {
			return nil, share.Digest{}, err
		}
		for j, block := range s.blocks {
			blocks[j] = append(blocks[j], block...)
		}
		tail = AppendDigests(tail, s.Digests)
		level = append(level, sha256.Sum256(SegmentNode(s.Digests)))
	}
	for len(level) > 1 {
		tail = AppendDigests(tail, level)
		level = levelAbove(level)
	}
	return tail, level[0], nil
}

// levelAbove returns the digests of the index nodes over a level.
func levelAbove(level []share.Digest) []share.Digest {
	var above []share.Digest
	for children := range slices.Chunk(level, Fanout) {
		above = append(above, sha256.Sum256(IndexNode(children)))
	}
	return above
}

// A Whole is one share in memory of which every byte was checked against the storage index.
type Whole struct {
	Root   Root
	Number share.Number

	layout Layout
	blocks []byte
	rows   []byte
}

// ParseWhole checks a whole share, which it retains. It returns ErrCorrupt for bytes that are not that share of that file.
func ParseWhole(index share.StorageIndex, number share.Number, data []byte) (*Whole, error) {
	block, err := rootOf(index, data)
	if err != nil {
		return nil, err
	}
	root, err := ParseRoot(block)
	if err != nil {
		return nil, err
	}
	w := &Whole{Root: root, Number: number, layout: root.Layout()}
	l := w.layout
	if int(number) >= l.Total || int64(len(data)) != l.RootOffset()+int64(len(block)) {
		return nil, fmt.Errorf("share: %w: number %d of %d in %d bytes", share.ErrCorrupt, number, l.Total, len(data))
	}
	rows := l.RowOffset(0)
	w.blocks, w.rows = data[:rows], data[rows:l.LevelOffset(1)]
	if err := w.check(data[l.LevelOffset(1):l.RootOffset()]); err != nil {
		return nil, err
	}
	return w, nil
}

// minRootSize is less than any root has.
const minRootSize = 64

// rootOf finds the root block at the end of a share. Its length follows from nothing but its own first bytes: a map whose
// first key is "k".
func rootOf(index share.StorageIndex, data []byte) ([]byte, error) {
	for n := minRootSize; n <= min(MaxRootSize, len(data)); n++ {
		block := data[len(data)-n:]
		if block[0]&0xe0 == 0xa0 && block[1] == 0x61 && block[2] == 'k' && share.IndexOf(block) == index {
			return block, nil
		}
	}
	return nil, fmt.Errorf("share: %w: it does not end with the root of the file", share.ErrCorrupt)
}

// check compares blocks, rows and the given stored levels with the root.
func (w *Whole) check(stored []byte) error {
	l := w.layout
	level := make([]share.Digest, l.Segments())
	for i := range level {
		row := w.row(int64(i))
		level[i] = sha256.Sum256(SegmentNode(row))
		if err := l.CheckBlock(int64(i), w.Number, row, w.block(int64(i))); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
	}
	for len(level) > 1 {
		want := AppendDigests(nil, level)
		if len(stored) < len(want) || !bytes.Equal(stored[:len(want)], want) {
			return &MismatchError{"a level of the index"}
		}
		stored = stored[len(want):]
		level = levelAbove(level)
	}
	if level[0] != w.Root.Index {
		return &MismatchError{"the index"}
	}
	return nil
}

func (w *Whole) row(i int64) []share.Digest {
	return Digests(w.rows[i*int64(w.layout.RowLen()):][:w.layout.RowLen()])
}

func (w *Whole) block(i int64) []byte {
	return w.blocks[w.layout.BlockOffset(i):][:w.layout.BlockLen(i)]
}

// Join returns the ciphertext of the file from at least k distinct shares of it, all of one storage index. It returns
// ErrCorrupt where the uploader committed to parity that does not belong to the data.
func Join(code *erasure.Code, shares []*Whole) ([]byte, error) {
	if len(shares) == 0 {
		return nil, fmt.Errorf("join: %w: no share", share.ErrNotFound)
	}
	l := shares[0].layout
	data := make([]byte, 0, l.Size)
	for i := range l.Segments() {
		blocks := make([][]byte, l.Total)
		for _, w := range shares {
			blocks[w.Number] = w.block(i)
		}
		if err := Recover(code, shares[0].row(i), blocks, l.BlockLen(i)); err != nil {
			return nil, fmt.Errorf("segment %d: %w", i, err)
		}
		left := l.SegmentLen(i)
		for _, block := range blocks[:l.Needed] {
			data = append(data, block[:min(left, len(block))]...)
			left -= min(left, len(block))
		}
	}
	return data, nil
}

// Segment returns the row of digests of segment i, and the share's block of it, which must not be changed.
func (w *Whole) Segment(i int64) (row []share.Digest, block []byte) { return w.row(i), w.block(i) }
