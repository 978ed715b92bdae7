// Package erasure turns one segment into N blocks of which any k give it back.
//
// The code is zfec's, the systematic Reed-Solomon code of LAFS, over GF(2^8) with the polynomial 0x11d and the
// generator 2, so that files can be decoded by implementations that share nothing with this one. The matrix is
// described in docs/formats.md, "Erasure code".
package erasure

import (
	"fmt"

	"github.com/klauspost/reedsolomon"

	"cairn/share"
)

// A Code is a k-of-N erasure code. It is safe for concurrent use.
type Code struct {
	needed, total int
	encoder       reedsolomon.Encoder
}

// New returns the code for 1 ≤ needed ≤ total ≤ 256.
func New(needed, total int) (*Code, error) {
	if err := (share.Params{Needed: needed, Happy: needed, Total: total}).Validate(); err != nil {
		return nil, fmt.Errorf("erasure code: %w", err)
	}
	// The library drops from AVX-512 to AVX2 with a single goroutine and more than ten shards, and callers run one
	// segment per core already, so two is the best of both.
	encoder, err := reedsolomon.New(needed, total-needed,
		reedsolomon.WithCustomMatrix(parityRows(needed, total)), reedsolomon.WithMaxGoroutines(2))
	if err != nil {
		return nil, fmt.Errorf("erasure code %d-of-%d: %w", needed, total, err)
	}
	return &Code{needed: needed, total: total, encoder: encoder}, nil
}

// Needed returns k.
func (c *Code) Needed() int { return c.needed }

// Total returns N.
func (c *Code) Total() int { return c.total }

// Encode fills blocks k..N-1 with the parity of blocks 0..k-1. All N blocks have the same length, which may be zero.
func (c *Code) Encode(blocks [][]byte) error {
	if len(blocks) != c.total {
		return fmt.Errorf("encode: %d blocks given, want %d", len(blocks), c.total)
	}
	if len(blocks[0]) == 0 || c.total == c.needed {
		return nil
	}
	if err := c.encoder.Encode(blocks); err != nil {
		return fmt.Errorf("encode %d-of-%d: %w", c.needed, c.total, err)
	}
	return nil
}

// Reconstruct fills in the missing ones of the data blocks 0..k-1. Missing blocks have length zero; one with
// enough capacity is filled in place. At least k blocks, all of the given length, must be present. Missing parity
// stays missing.
func (c *Code) Reconstruct(blocks [][]byte, blockLen int) error {
	if len(blocks) != c.total {
		return fmt.Errorf("reconstruct: %d blocks given, want %d", len(blocks), c.total)
	}
	if blockLen == 0 {
		return nil
	}
	if err := c.encoder.ReconstructData(blocks); err != nil {
		return fmt.Errorf("reconstruct %d-of-%d: %w", c.needed, c.total, err)
	}
	return nil
}

// Restore fills in the wanted ones of all N blocks, parity included, from any k. Missing blocks have length zero; one
// with enough capacity is filled in place. At least k blocks, all of the given length, must be present. Missing blocks
// that are not wanted stay missing.
func (c *Code) Restore(blocks [][]byte, blockLen int, wanted []bool) error {
	if len(blocks) != c.total || len(wanted) != c.total {
		return fmt.Errorf("restore: %d blocks and %d wishes given, want %d", len(blocks), len(wanted), c.total)
	}
	if blockLen == 0 {
		return nil
	}
	if err := c.encoder.ReconstructSome(blocks, wanted); err != nil {
		return fmt.Errorf("restore %d-of-%d: %w", c.needed, c.total, err)
	}
	return nil
}
