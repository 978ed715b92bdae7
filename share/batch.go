package share

import "context"

// Bounds of what travels whole.
const (
	// MaxWholeShare is the largest share in bytes that can travel whole.
	MaxWholeShare = 128 << 10
	// MaxBatchShares and MaxBatchBytes bound one batch: how many shares, and the bytes of all together.
	MaxBatchShares = 4096
	MaxBatchBytes  = 8 << 20
)

// A WholeShare is one complete share, small enough to be sent at once.
type WholeShare struct {
	Index  StorageIndex
	Number Number
	// Data is the share as docs/formats.md, "Share" lays it out: blocks, index, root.
	Data []byte
}

// A Batcher is a Store that takes and gives many small shares in one exchange. What the share.Writer of a Store checks, Put
// checks too, and nil for a share means that it is on stable storage.
type Batcher interface {
	// Put stores whole shares, all under one lease. It answers one error for each share, nil for those that are
	// stored; the error beside them says that the exchange failed as a whole, and then nothing is known of any share.
	Put(ctx context.Context, shares []WholeShare, lease Lease) ([]error, error)
	// Fetch returns the shares held under each of the indexes, in the same order, as far as they are at most MaxWholeShare
	// long and the answer stays within MaxBatchBytes. An index of which nothing is returned may still be held. What comes is a
	// claim: the caller verifies it.
	Fetch(ctx context.Context, indexes []StorageIndex) ([][]WholeShare, error)
}
