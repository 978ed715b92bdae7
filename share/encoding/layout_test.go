package encoding_test

import (
	"testing"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/encoding"
)

// sampleSegments returns segment numbers worth looking at: the first, the last, the ones around index nodes.
func sampleSegments(l encoding.Layout) []int64 {
	var out []int64
	for _, i := range []int64{0, 1, 2, 254, 255, 256, 257, 65535, 65536, l.Segments() - 3, l.Segments() - 2, l.Segments() - 1} {
		if i >= 0 && i < l.Segments() {
			out = append(out, i)
		}
	}
	return out
}

// TestLayoutTiles: blocks, rows, levels and root stand one behind the other without gap or overlap.
func TestLayoutTiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLayout.Draw(t, "layout")
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		last := l.Segments() - 1
		for _, i := range sampleSegments(l) {
			end := l.BlockOffset(i) + int64(l.BlockLen(i))
			switch {
			case i < last && (end != l.BlockOffset(i+1) || l.BlockLen(i) != l.BlockSize || int64(l.SegmentLen(i)) != l.SegmentSize()):
				t.Fatalf("block %d of %d ends at %d, the next begins at %d", i, last, end, l.BlockOffset(i+1))
			case i == last && end != l.RowOffset(0):
				t.Fatalf("the blocks end at %d, the rows begin at %d", end, l.RowOffset(0))
			case l.RowOffset(i)+int64(l.RowLen()) != l.RowOffset(i+1):
				t.Fatalf("row %d does not end where the next begins", i)
			}
			if n := l.BlockLen(i) * l.Needed; n < l.SegmentLen(i) || n >= l.SegmentLen(i)+l.Needed {
				t.Fatalf("segment %d: %d bytes in %d blocks of %d", i, l.SegmentLen(i), l.Needed, l.BlockLen(i))
			}
		}
		if last*l.SegmentSize()+int64(l.SegmentLen(last)) != l.Size {
			t.Fatalf("the segments hold %d bytes, the file %d", last*l.SegmentSize()+int64(l.SegmentLen(last)), l.Size)
		}
		checkLevels(t, l)
	})
}

func checkLevels(t *rapid.T, l encoding.Layout) {
	if l.LevelOffset(1) != l.RowOffset(l.Segments()) {
		t.Fatalf("the rows end at %d, level 1 begins at %d", l.RowOffset(l.Segments()), l.LevelOffset(1))
	}
	if l.LevelCount(1) != l.Segments() || l.LevelCount(l.Top()) != 1 {
		t.Fatalf("level 1 has %d digests for %d segments, the top has %d", l.LevelCount(1), l.Segments(), l.LevelCount(l.Top()))
	}
	for level := 1; level < l.Top(); level++ {
		count := l.LevelCount(level)
		if count < 2 || l.LevelCount(level+1) != (count+encoding.Fanout-1)/encoding.Fanout {
			t.Fatalf("level %d has %d digests, the next %d", level, count, l.LevelCount(level+1))
		}
		if l.LevelOffset(level)+count*int64(encoding.DigestSize) != l.LevelOffset(level+1) {
			t.Fatalf("level %d does not end where the next begins", level)
		}
	}
	if l.RootOffset() != l.LevelOffset(l.Top()) {
		t.Fatalf("the root stands at %d, the top level would at %d", l.RootOffset(), l.LevelOffset(l.Top()))
	}
}

// TestLocateCoversEveryByte walks small files from piece to piece: each byte is in exactly one place, and no two
// bytes are in the same.
func TestLocateCoversEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := encoding.Layout{Total: rapid.IntRange(1, 12).Draw(t, "n"), BlockSize: encoding.MinBlockSize}
		l.Needed = rapid.IntRange(1, l.Total).Draw(t, "k")
		l.Size = rapid.Int64Range(1, 4*l.SegmentSize()).Draw(t, "size")
		limit := rapid.IntRange(1, 3*l.BlockSize).Draw(t, "limit")
		for off := int64(0); off < l.Size; {
			s := l.Locate(off, limit)
			place := s.Segment*l.SegmentSize() + int64(s.Number)*int64(l.BlockLen(s.Segment)) + int64(s.Offset)
			switch {
			case place != off:
				t.Fatalf("offset %d is located at %+v, which is offset %d", off, s, place)
			case s.Len < 1 || s.Len > limit:
				t.Fatalf("offset %d: a piece of %d bytes, at most %d wanted", off, s.Len, limit)
			case int(s.Number) >= l.Needed || s.Offset+s.Len > l.BlockLen(s.Segment):
				t.Fatalf("offset %d: %+v is outside of its block", off, s)
			case off+int64(s.Len) > min(l.Size, (s.Segment+1)*l.SegmentSize()):
				t.Fatalf("offset %d: %+v is outside of its segment", off, s)
			}
			off += int64(s.Len)
		}
	})
}

// TestLocateInLargeFiles checks single offsets of files of any shape.
func TestLocateInLargeFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLayout.Filter(func(l encoding.Layout) bool { return l.Size > 0 }).Draw(t, "layout")
		off := rapid.Int64Range(0, l.Size-1).Draw(t, "off")
		s := l.Locate(off, 1)
		place := s.Segment*l.SegmentSize() + int64(s.Number)*int64(l.BlockLen(s.Segment)) + int64(s.Offset)
		if place != off || s.Len != 1 || int(s.Number) >= l.Needed {
			t.Fatalf("%+v: offset %d is located at %+v", l, off, s)
		}
	})
}

func TestLayoutRefuses(t *testing.T) {
	good := encoding.Layout{Needed: 3, Total: 10, BlockSize: 4096, Size: 1}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*encoding.Layout){
		"k of 0":           func(l *encoding.Layout) { l.Needed = 0 },
		"k above N":        func(l *encoding.Layout) { l.Needed = 11 },
		"N of 257":         func(l *encoding.Layout) { l.Total = 257 },
		"negative N":       func(l *encoding.Layout) { l.Needed, l.Total = -2, -1 },
		"block of 2 KiB":   func(l *encoding.Layout) { l.BlockSize = 2048 },
		"block of 2 MiB":   func(l *encoding.Layout) { l.BlockSize = 2 << 20 },
		"block of 4097":    func(l *encoding.Layout) { l.BlockSize = 4097 },
		"negative block":   func(l *encoding.Layout) { l.BlockSize = -4096 },
		"negative size":    func(l *encoding.Layout) { l.Size = -1 },
		"size above 1 PiB": func(l *encoding.Layout) { l.Size = encoding.MaxSize + 1 },
	} {
		l := good
		change(&l)
		if l.Validate() == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

func TestCheckBlock(t *testing.T) {
	l := encoding.Layout{Needed: 2, Total: 3, BlockSize: 4096, Size: 5}
	block := []byte("abc")
	row := []share.Digest{{}, share.Digest(share.IndexOf(block)), {}}
	if err := l.CheckBlock(0, 1, row, block); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"another share": l.CheckBlock(0, 0, row, block),
		"no such share": l.CheckBlock(0, 3, row, block),
		"a short row":   l.CheckBlock(0, 1, row[:2], block),
		"a short block": l.CheckBlock(0, 1, row, block[:2]),
		"a long block":  l.CheckBlock(0, 1, row, append(block, 0)),
		"another block": l.CheckBlock(0, 1, row, []byte("abd")),
		"no block":      l.CheckBlock(0, 1, row, nil),
	} {
		if err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
