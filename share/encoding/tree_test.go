package encoding

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"cairn/share"
)

// memory is a share of which only the index is there: reads of what was not written give zeros.
type memory struct {
	start int64
	data  []byte
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, m.data[off-m.start:]), nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	return copy(m.data[off-m.start:], p), nil
}

// TestIndexOfManySegments compares the encoder's streaming tree with BuildIndex, which works on what is stored, around
// every number of segments at which a level is added, and reads rows back through the index.
func TestIndexOfManySegments(t *testing.T) {
	for _, segments := range []int64{1, 2, 3, 255, 256, 257, 511, 512, 513, 65535, 65536, 65537, 2*65536 + 1} {
		l := Layout{Needed: 1, Total: 1, BlockSize: MinBlockSize, Size: segments * MinBlockSize}
		if l.Segments() != segments {
			t.Fatalf("%d segments, want %d", l.Segments(), segments)
		}
		m := &memory{start: l.RowOffset(0), data: make([]byte, l.RootOffset()-l.RowOffset(0))}
		var streaming tree
		for i := range segments {
			row := []share.Digest{sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))}
			if _, err := m.WriteAt(row[0][:], l.RowOffset(i)); err != nil {
				t.Fatal(err)
			}
			streaming.add(sha256.Sum256(SegmentNode(row)))
		}
		top, err := BuildIndex(m, l)
		if err != nil {
			t.Fatal(err)
		}
		if got := streaming.top(); got != top {
			t.Errorf("%d segments: the encoder's top is %v, BuildIndex gives %v", segments, got, top)
		}
		checkRows(t, Root{Needed: 1, Total: 1, BlockSize: MinBlockSize, Size: l.Size, Index: top}, m)
	}
}

func checkRows(t *testing.T, root Root, m *memory) {
	t.Helper()
	l := root.Layout()
	index := NewIndex(root, func(_ context.Context, p []byte, off int64, check func() error) error {
		if _, err := m.ReadAt(p, off); err != nil {
			return err
		}
		return check()
	})
	for _, i := range []int64{0, 1, 255, 256, 65535, 65536, l.Segments() - 1} {
		if i >= l.Segments() {
			continue
		}
		rows, err := index.Rows(t.Context(), i, 3)
		if err != nil {
			t.Fatalf("%d segments, row %d: %v", l.Segments(), i, err)
		}
		for n, row := range rows {
			if want := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)+uint64(n))); row[0] != want {
				t.Fatalf("%d segments: row %d is another", l.Segments(), i+int64(n))
			}
		}
	}
}

// TestIndexLinksSegmentDirectly: a file of one segment has no index node between the root and the segment, and one of 257
// has exactly two of them and a third on top.
func TestIndexLinksSegmentDirectly(t *testing.T) {
	segment := func(i int) share.Digest {
		return sha256.Sum256(SegmentNode([]share.Digest{{byte(i), byte(i >> 8)}}))
	}
	var one, many tree
	one.add(segment(0))
	if one.top() != segment(0) {
		t.Error("the index of one segment is not the segment")
	}
	var all []share.Digest
	for i := range 257 {
		many.add(segment(i))
		all = append(all, segment(i))
	}
	first, second := sha256.Sum256(IndexNode(all[:256])), sha256.Sum256(IndexNode(all[256:]))
	if want := sha256.Sum256(IndexNode([]share.Digest{first, second})); many.top() != want {
		t.Error("257 segments: the top does not hold the two nodes below it")
	}
}

// TestNodesAreDagCBOR pins the encoding of nodes to the specification: a list head, then tag 42 around each CID.
func TestNodesAreDagCBOR(t *testing.T) {
	for n, head := range map[int]string{1: "\x81", 23: "\x97", 24: "\x98\x18", 255: "\x98\xff", 256: "\x99\x01\x00"} {
		node := SegmentNode(make([]share.Digest, n))
		want := head + "\xd8\x2a\x58\x25\x00\x01\x55\x12\x20"
		if string(node[:len(want)]) != want || len(node) != len(head)+n*41 {
			t.Errorf("a segment of %d blocks begins with %x and has %d bytes", n, node[:len(want)], len(node))
		}
	}
	if node := IndexNode(make([]share.Digest, 1)); node[7] != codecCBOR {
		t.Errorf("an index node links with codec %#x", node[7])
	}
}
