package file

import (
	"fmt"
	"sync"

	"cairn/share"
	"cairn/share/encoding"
	"cairn/share/erasure"
	"cairn/share/keys"
)

// A Small is a small file that is encoded and in memory.
type Small struct {
	Root   encoding.Root
	Index  share.StorageIndex
	Shares [][]byte // by number, as docs/formats.md, "Share" lays them out
}

// EncodeSmall encrypts and encodes a small file in memory. The salt is that of a version of a mutable file, nil otherwise.
// Blocks have at most the given size, 0 for the default. It returns ErrTooLarge when a share is too large to travel whole.
func EncodeSmall(params share.Params, blockSize int, key keys.ReadKey, salt, data []byte) (Small, error) {
	if err := params.Validate(); err != nil {
		return Small{}, err
	}
	code, err := erasure.New(params.Needed, params.Total)
	if err != nil {
		return Small{}, err
	}
	return encodeSmall(code, blockSize, key, salt, data)
}

func encodeSmall(code *erasure.Code, blockSize int, key keys.ReadKey, salt, data []byte) (Small, error) {
	if blockSize == 0 {
		blockSize = encoding.BlockSizeFor(code.Total())
	}
	if len(data) > share.MaxWholeShare*code.Needed() {
		return Small{}, fmt.Errorf("%w: %d bytes in %d shares", share.ErrTooLarge, len(data), code.Needed())
	}
	root, shares, err := encoding.Shares(data, key.File(salt), encoding.Options{Code: code, BlockSize: blockSize, Salt: salt})
	if err != nil {
		return Small{}, err
	}
	if len(shares[0]) > share.MaxWholeShare {
		return Small{}, fmt.Errorf("%w: shares of %d bytes, at most %d travel whole", share.ErrTooLarge, len(shares[0]), share.MaxWholeShare)
	}
	return Small{Root: root, Index: root.StorageIndex(), Shares: shares}, nil
}

// SmallSize returns up to how many bytes a file is small enough for EncodeSmall.
func SmallSize(params share.Params) int64 {
	l := encoding.Layout{Needed: params.Needed, Total: params.Total, BlockSize: encoding.BlockSizeFor(params.Total)}
	size := int64(0)
	for step := int64(share.MaxWholeShare) * int64(params.Needed); step > 0; step /= 2 {
		if l.Size = size + step; l.RootOffset()+encoding.MaxRootSize <= share.MaxWholeShare {
			size = l.Size
		}
	}
	return size
}

// codes keeps the erasure codes of one batch: making one costs more than using it on a small file. It is safe for
// concurrent use.
type codes struct {
	mu    sync.Mutex
	known map[[2]int]*erasure.Code
}

func (c *codes) get(needed, total int) (*erasure.Code, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if code := c.known[[2]int{needed, total}]; code != nil {
		return code, nil
	}
	code, err := erasure.New(needed, total)
	if err != nil {
		return nil, err
	}
	if c.known == nil {
		c.known = map[[2]int]*erasure.Code{}
	}
	const keep = 64
	if len(c.known) < keep {
		c.known[[2]int{needed, total}] = code
	}
	return code, nil
}

// OpenSmall decodes and decrypts a small file from at least k distinct shares of it. It returns ErrWrongKey, or ErrCorrupt
// where the uploader committed to parity that does not belong to the data. What it returns is not nil without an error.
func OpenSmall(shares []*encoding.Whole, key keys.ReadKey) ([]byte, error) {
	if len(shares) == 0 {
		return nil, share.ErrNotFound
	}
	code, err := erasure.New(shares[0].Root.Needed, shares[0].Root.Total)
	if err != nil {
		return nil, err
	}
	return openSmall(code, shares, key)
}

func openSmall(code *erasure.Code, shares []*encoding.Whole, key keys.ReadKey) ([]byte, error) {
	root := shares[0].Root
	secret := key.File(root.Salt)
	if !secret.Commits(root.Commitment) {
		return nil, ErrWrongKey
	}
	data, err := encoding.Join(code, shares)
	if err != nil {
		return nil, err
	}
	secret.XORKeyStream(data, data, 0)
	return data, nil
}
