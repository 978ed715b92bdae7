package share

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// A StorageIndex identifies an encoded file to servers: the SHA-256 digest of its root block. Its text form is
// the root's CID (version 1, dag-cbor, sha2-256), which is the verify capability as well: who has it can
// find, check and repair the file, but not read it.
type StorageIndex [32]byte

// IndexOf returns the storage index of a root block.
func IndexOf(root []byte) StorageIndex { return sha256.Sum256(root) }

// CID returns the storage index as the CID of the root block.
func (si StorageIndex) CID() cid.Cid {
	hash, err := multihash.Encode(si[:], multihash.SHA2_256)
	if err != nil {
		panic("share: encoding a 32-byte digest: " + err.Error())
	}
	return cid.NewCidV1(cid.DagCBOR, hash)
}

// String returns the CID in its usual text form, base32 lower case.
func (si StorageIndex) String() string { return si.CID().String() }

// IsZero reports whether the storage index is unset.
func (si StorageIndex) IsZero() bool { return si == StorageIndex{} }

// ParseStorageIndex reads the text form that String prints and accepts no other spelling of it.
func ParseStorageIndex(text string) (StorageIndex, error) {
	id, err := cid.Decode(text)
	if err != nil {
		return StorageIndex{}, fmt.Errorf("storage index %.80q: %w", text, err)
	}
	return indexOfCID(id, text)
}

// StorageIndexOf returns the storage index that a CID stands for.
func StorageIndexOf(id cid.Cid) (StorageIndex, error) { return indexOfCID(id, id.String()) }

func indexOfCID(id cid.Cid, text string) (StorageIndex, error) {
	var si StorageIndex
	prefix := id.Prefix()
	if prefix.Version != 1 || prefix.Codec != cid.DagCBOR || prefix.MhType != multihash.SHA2_256 || prefix.MhLength != len(si) {
		return si, fmt.Errorf("storage index %.80q: want a version 1 CID of dag-cbor with sha2-256", text)
	}
	hash, err := multihash.Decode(id.Hash())
	if err != nil {
		return si, fmt.Errorf("storage index %.80q: %w", text, err)
	}
	copy(si[:], hash.Digest)
	if si.String() != text {
		return StorageIndex{}, fmt.Errorf("storage index %.80q: not in canonical form, want %s", text, si)
	}
	return si, nil
}
