package encoding

import (
	"crypto/sha256"
	"fmt"

	"cairn/share"
	"cairn/share/erasure"
)

// Restore fills in the wanted ones of all N blocks of a segment, parity included, from any k verified blocks, and checks
// what it made against the row of digests. Missing blocks have length zero; one with enough capacity is filled in
// place. Blocks that do not belong to the row are ErrCorrupt: the uploader committed to shares that are not
// those of one file, and no one can make the missing ones.
func Restore(code *erasure.Code, row []share.Digest, blocks [][]byte, blockLen int, wanted []bool) error {
	missing := make([]int, 0, len(blocks))
	for j := range blocks {
		if wanted[j] && len(blocks[j]) == 0 {
			missing = append(missing, j)
		}
	}
	if err := code.Restore(blocks, blockLen, wanted); err != nil {
		return err
	}
	for _, j := range missing {
		if sha256.Sum256(blocks[j]) != row[j] {
			return fmt.Errorf("%w: block %d made from the other shares does not match its digest: the file was encoded inconsistently", share.ErrCorrupt, j)
		}
	}
	return nil
}
