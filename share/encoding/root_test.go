package encoding_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"cairn/share"
	"cairn/share/encoding"
)

var anyLayout = rapid.Custom(func(t *rapid.T) encoding.Layout {
	total := rapid.IntRange(1, share.MaxTotal).Draw(t, "n")
	l := encoding.Layout{
		Total: total, Needed: rapid.IntRange(1, total).Draw(t, "k"),
		BlockSize: encoding.MinBlockSize << rapid.IntRange(0, 8).Draw(t, "block"),
	}
	segment := l.SegmentSize()
	l.Size = rapid.OneOf(
		rapid.Int64Range(0, encoding.MaxSize),
		rapid.Int64Range(0, 3*segment),
		rapid.Custom(func(t *rapid.T) int64 { // around a whole number of segments, and of index nodes
			count := rapid.SampledFrom([]int64{1, 2, 255, 256, 257, 65535, 65536, 65537}).Draw(t, "segments")
			return min(encoding.MaxSize, max(0, count*segment+rapid.Int64Range(-2, 2).Draw(t, "off by")))
		}),
	).Draw(t, "size")
	return l
})

var anyRoot = rapid.Custom(func(t *rapid.T) encoding.Root {
	l := anyLayout.Draw(t, "layout")
	r := encoding.Root{Needed: l.Needed, Total: l.Total, BlockSize: l.BlockSize, Size: l.Size}
	if salt := rapid.SliceOfN(rapid.Byte(), 0, encoding.MaxSaltSize).Draw(t, "salt"); len(salt) > 0 {
		r.Salt = salt
	}
	copy(r.Commitment[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "commitment"))
	copy(r.Index[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "index"))
	return r
})

func sameRoot(a, b encoding.Root) bool {
	return a.Layout() == b.Layout() && a.Commitment == b.Commitment && a.Index == b.Index && bytes.Equal(a.Salt, b.Salt)
}

func TestRootRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRoot.Draw(t, "root")
		block := r.Marshal()
		if len(block) > encoding.MaxRootSize {
			t.Fatalf("a root of %d bytes", len(block))
		}
		got, err := encoding.CheckRoot(r.StorageIndex(), block)
		if err != nil || !sameRoot(got, r) {
			t.Fatalf("%+v came back as %+v: %v", r, got, err)
		}
	})
}

// TestRootIsKnownBytes pins the encoding to the example of docs/formats.md.
func TestRootIsKnownBytes(t *testing.T) {
	r := encoding.Root{Needed: 3, Total: 10, BlockSize: 4096, Size: 56}
	for i := range r.Commitment {
		r.Commitment[i], r.Index[i] = 0xcc, 0x11
	}
	const want = "a7" + "616b03" + "616e0a" + "617601" +
		"636b65795820cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" +
		"6473697a651838" + "65626c6f636b191000" +
		"65696e646578d82a5825000171" + "1220" + "1111111111111111111111111111111111111111111111111111111111111111"
	if got := hex.EncodeToString(r.Marshal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNoSecondRoot damages roots: whatever is accepted is another root, written the one way.
func TestNoSecondRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := anyRoot.Draw(t, "root").Marshal()
		i := rapid.IntRange(0, len(block)-1).Draw(t, "at")
		changed := bytes.Clone(block)
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 0:
			changed[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			changed = changed[:i]
		case 2:
			changed = append(changed, rapid.Byte().Draw(t, "more"))
		case 3:
			changed = append(append(bytes.Clone(block[:i]), rapid.Byte().Draw(t, "inserted")), block[i:]...)
		}
		got, err := encoding.ParseRoot(changed)
		if err == nil && !bytes.Equal(got.Marshal(), changed) {
			t.Fatalf("%x was read from %x", got.Marshal(), changed)
		}
		if err != nil && !errors.Is(err, share.ErrCorrupt) && !errors.Is(err, share.ErrVersion) && !errors.Is(err, share.ErrTooLarge) {
			t.Fatalf("%v wraps no known error", err)
		}
		if _, err := encoding.CheckRoot(share.IndexOf(block), changed); err == nil && !bytes.Equal(changed, block) {
			t.Fatal("a changed root fits the storage index")
		}
	})
}

// FuzzParseRoot looks for bytes that make ParseRoot panic, or that it accepts and would write differently.
func FuzzParseRoot(f *testing.F) {
	for _, r := range []encoding.Root{
		{Needed: 1, Total: 1, BlockSize: encoding.MinBlockSize},
		{Needed: 3, Total: 10, BlockSize: 1 << 17, Size: 1 << 33},
		{Needed: 256, Total: 256, BlockSize: encoding.MaxBlockSize, Size: encoding.MaxSize, Salt: bytes.Repeat([]byte{7}, 32)},
	} {
		f.Add(r.Marshal())
	}
	for _, m := range malformedRoots(f) {
		f.Add(m.block)
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		r, err := encoding.ParseRoot(block)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), block) {
			t.Fatalf("%x is accepted and written as %x", block, r.Marshal())
		}
		l := r.Layout()
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		if l.RootOffset() < 0 || l.Top() > 8 {
			t.Fatalf("%+v: a share of %d bytes with %d levels", l, l.RootOffset(), l.Top())
		}
	})
}
