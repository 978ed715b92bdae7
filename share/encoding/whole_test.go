package encoding_test

import (
	"bytes"
	"errors"
	"testing"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
	"cairn/share/storetest"
)

// wholeShapes are files whose shares are small, from no byte to three levels of index.
var wholeShapes = []struct{ needed, total, blockSize, size int }{
	{1, 1, 4 << 10, 0},
	{1, 1, 4 << 10, 1},
	{3, 10, 4 << 10, 100},
	{3, 10, 128 << 10, 1000},
	{3, 10, 4 << 10, 3 * 4 << 10},
	{3, 10, 4 << 10, 3*4<<10 + 1},
	{2, 3, 4 << 10, 100_000},
	{1, 2, 4 << 10, 257 * 4 << 10},
}

// TestShares compares shares made in memory with those that the streaming encoder makes, and joins them again.
func TestShares(t *testing.T) {
	for _, shape := range wholeShapes {
		f := storetest.NewFile(t, 7, shape.needed, shape.total, shape.blockSize, shape.size)
		code, err := erasure.New(shape.needed, shape.total)
		if err != nil {
			t.Fatal(err)
		}
		root, shares, err := encoding.Shares(f.Plain, f.Key.File(nil), encoding.Options{Code: code, BlockSize: shape.blockSize})
		if err != nil || !bytes.Equal(root.Marshal(), f.Root) {
			t.Fatalf("%v: another root, or %v", shape, err)
		}
		var last []*encoding.Whole
		for j, data := range shares {
			if !bytes.Equal(data, f.Share(share.Number(j))) {
				t.Errorf("%v: share %d differs", shape, j)
			}
			w, err := encoding.ParseWhole(f.Index, share.Number(j), data)
			if err != nil {
				t.Fatalf("%v: share %d: %v", shape, j, err)
			}
			if j >= shape.total-shape.needed {
				last = append(last, w)
			}
		}
		plain, err := encoding.Join(code, last)
		if err != nil {
			t.Fatal(err)
		}
		f.Key.File(nil).XORKeyStream(plain, plain, 0)
		if !bytes.Equal(plain, f.Plain) {
			t.Errorf("%v: joined to something else", shape)
		}
	}
}

// TestEveryByteOfAWholeShareCounts flips each byte of a share, cuts it and lengthens it.
func TestEveryByteOfAWholeShareCounts(t *testing.T) {
	f := storetest.NewFile(t, 8, 2, 3, 4<<10, 9000)
	data := f.Share(1)
	for i := range data {
		spoiled := bytes.Clone(data)
		spoiled[i] ^= 0x10
		if _, err := encoding.ParseWhole(f.Index, 1, spoiled); !errors.Is(err, share.ErrCorrupt) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for name, spoiled := range map[string][]byte{"empty": nil, "cut": data[1:], "longer": append([]byte{0}, data...), "root": data[len(data)-len(f.Root):]} {
		if _, err := encoding.ParseWhole(f.Index, 1, spoiled); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, number := range []share.Number{0, 2, 3, 255} {
		if _, err := encoding.ParseWhole(f.Index, number, data); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("as share %d: %v", number, err)
		}
	}
}

func FuzzParseWhole(f *testing.F) {
	code, err := erasure.New(2, 3)
	if err != nil {
		f.Fatal(err)
	}
	root, shares, err := encoding.Shares([]byte("some plaintext"), keys.ReadKey{1}.File([]byte("salt")), encoding.Options{Code: code, BlockSize: 4 << 10, Salt: []byte("salt")})
	if err != nil {
		f.Fatal(err)
	}
	index := root.StorageIndex()
	f.Add(uint8(0), shares[0])
	f.Add(uint8(1), shares[0])
	f.Add(uint8(2), root.Marshal())
	f.Fuzz(func(t *testing.T, number uint8, data []byte) {
		if _, err := encoding.ParseWhole(index, share.Number(number), data); err == nil && !bytes.Equal(data, shares[number]) {
			t.Errorf("%d other bytes pass for share %d", len(data), number)
		}
	})
}
