package encoding

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
)

// Bounds of an encoded file. Every root that Parse accepts keeps them.
const (
	// Version is the version of the encoded file that this package writes.
	Version = 1
	// MinBlockSize and MaxBlockSize bound the block of a full segment; it is a power of two between them.
	MinBlockSize = 4 << 10
	MaxBlockSize = 1 << 20
	// MaxSize bounds the ciphertext of one file: 1 PiB.
	MaxSize = 1 << 50
	// MaxRootSize bounds the encoded root block in bytes.
	MaxRootSize = 512
	// MaxSaltSize bounds the salt of a version of a mutable file.
	MaxSaltSize = 32
	// Fanout is how many links an index node holds.
	Fanout = 256
)

// A Root is the root block of an encoded file: everything a reader needs to know the shape of the file, and the
// hash that commits to every block of it (docs/formats.md, "Root").
type Root struct {
	Needed     int          // k
	Total      int          // N
	BlockSize  int          // bytes of a block of a full segment
	Size       int64        // bytes of ciphertext, equal to the bytes of plaintext
	Commitment share.Digest // commits to the key, so that a wrong key is an error and not noise
	Salt       []byte       // mutable files only: distinguishes versions under one key
	Index      share.Digest // digest of the top index node
}

// rootBlock is the dag-cbor map. Keys are written in the order of the DAG-CBOR specification: by length, then
// bytewise.
type rootBlock struct {
	Version    int      `cbor:"v"`
	Needed     int      `cbor:"k"`
	Total      int      `cbor:"n"`
	BlockSize  int      `cbor:"block"`
	Size       int64    `cbor:"size"`
	Commitment []byte   `cbor:"key"`
	Salt       []byte   `cbor:"salt,omitempty"`
	Index      cbor.Tag `cbor:"index"`
}

const cidTag = 42 // the DAG-CBOR tag of a link

var (
	rootEncoder = must(cbor.EncOptions{Sort: cbor.SortLengthFirst, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	rootDecoder = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 16, MaxArrayElements: 16,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("encoding: " + err.Error())
	}
	return v
}

// Marshal returns the root block. The root must be valid.
func (r Root) Marshal() []byte {
	return must(rootEncoder.Marshal(rootBlock{
		Version: Version, Needed: r.Needed, Total: r.Total, BlockSize: r.BlockSize, Size: r.Size,
		Commitment: r.Commitment[:], Salt: r.Salt,
		Index: cbor.Tag{Number: cidTag, Content: linkBytes(r.Index)},
	}))
}

// StorageIndex returns the storage index of the file.
func (r Root) StorageIndex() share.StorageIndex { return share.IndexOf(r.Marshal()) }

// Layout returns the shape of the file.
func (r Root) Layout() Layout {
	return Layout{Needed: r.Needed, Total: r.Total, BlockSize: r.BlockSize, Size: r.Size}
}

// ParseRoot reads a root block. It accepts only the bytes that Marshal would write and returns ErrCorrupt for
// anything else, or ErrVersion for a root of a later version.
func ParseRoot(block []byte) (Root, error) {
	if len(block) > MaxRootSize {
		return Root{}, fmt.Errorf("root of %d bytes: %w: at most %d", len(block), share.ErrTooLarge, MaxRootSize)
	}
	if v, ok := versionOf(block); ok && v > Version {
		return Root{}, fmt.Errorf("root of format version %d: %w: this program knows version %d", v, share.ErrVersion, Version)
	}
	var b rootBlock
	if err := rootDecoder.Unmarshal(block, &b); err != nil {
		return Root{}, fmt.Errorf("root: %w: %v", share.ErrCorrupt, err)
	}
	r := Root{Needed: b.Needed, Total: b.Total, BlockSize: b.BlockSize, Size: b.Size}
	if err := r.Layout().Validate(); err != nil {
		return Root{}, fmt.Errorf("root: %w: %v", share.ErrCorrupt, err)
	}
	if len(b.Commitment) != len(r.Commitment) || len(b.Salt) > MaxSaltSize {
		return Root{}, fmt.Errorf("root: %w: key commitment or salt has the wrong length", share.ErrCorrupt)
	}
	copy(r.Commitment[:], b.Commitment)
	r.Salt = b.Salt
	link, ok := b.Index.Content.([]byte)
	if !ok || b.Index.Number != cidTag || len(link) != linkSize {
		return Root{}, fmt.Errorf("root: %w: the index is not a link", share.ErrCorrupt)
	}
	copy(r.Index[:], link[linkSize-len(r.Index):])
	if !bytes.Equal(r.Marshal(), block) {
		return Root{}, fmt.Errorf("root: %w: not in canonical form", share.ErrCorrupt)
	}
	return r, nil
}

// CheckRoot parses the root block of the file with the given storage index.
func CheckRoot(index share.StorageIndex, block []byte) (Root, error) {
	if share.IndexOf(block) != index {
		return Root{}, fmt.Errorf("root: %w: its hash is not the storage index", share.ErrCorrupt)
	}
	return ParseRoot(block)
}

func versionOf(block []byte) (int, bool) {
	var b struct {
		Version int `cbor:"v"`
	}
	err := cbor.Unmarshal(block, &b)
	return b.Version, err == nil
}

// ValidBlockSize reports whether a root may carry the block size.
func ValidBlockSize(n int) bool {
	return n >= MinBlockSize && n <= MaxBlockSize && bits.OnesCount(uint(n)) == 1
}
