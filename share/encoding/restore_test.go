package encoding_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// TestRepairMakesTheCommittedShares: a repairer without the key makes exactly the shares that the root commits to, or
// none.
func TestRepairMakesTheCommittedShares(t *testing.T) {
	l := encoding.Layout{Needed: 3, Total: 6, BlockSize: encoding.MinBlockSize, Size: 10000}
	key := keys.NewReadKey()
	blocks := honestBlocks(t, l, key, plaintext(10000))[0]
	code, err := erasure.New(l.Needed, l.Total)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]share.Digest, l.Total)
	for j := range blocks {
		row[j] = sha256.Sum256(blocks[j])
	}
	have := [][]byte{nil, blocks[1], nil, blocks[3], nil, blocks[5]}
	if err := encoding.Restore(code, row, have, l.BlockLen(0), []bool{true, true, true, true, true, true}); err != nil {
		t.Fatal(err)
	}
	for j := range blocks {
		if !bytes.Equal(have[j], blocks[j]) {
			t.Errorf("block %d was made differently", j)
		}
	}
	for _, forged := range []int{0, 2, 4} {
		lie := bytes.Clone(blocks[forged])
		lie[0] ^= 1
		wrong := append([]share.Digest(nil), row...)
		wrong[forged] = sha256.Sum256(lie)
		have := [][]byte{nil, blocks[1], nil, blocks[3], nil, blocks[5]}
		err := encoding.Restore(code, wrong, have, l.BlockLen(0), []bool{true, true, true, true, true, true})
		if !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("block %d of a forged row: %v, want ErrCorrupt", forged, err)
		}
	}
}
