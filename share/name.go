package share

import (
	"crypto/ed25519"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

const (
	codecLibp2pKey = 0x72
	baseName       = 'k' // multibase's code of base36 in lower case
)

// NameLen is the length of a name's text form.
const NameLen = 62

// keyHeader begins the protobuf form of an Ed25519 public key: key type 1, then 32 bytes.
const keyHeader = "\x08\x01\x12\x20"

// A Name identifies a mutable file or directory: the Ed25519 public key that verifies its heads.
type Name [ed25519.PublicKeySize]byte

// String returns the name as IPNS writes it: the CID of the public key in base36, "k51…".
func (n Name) String() string {
	hash, err := multihash.Sum(append([]byte(keyHeader), n[:]...), multihash.IDENTITY, -1)
	if err != nil {
		panic("share: " + err.Error()) // the identity of 36 bytes always exists
	}
	text, err := cid.NewCidV1(codecLibp2pKey, hash).StringOfBase(baseName)
	if err != nil {
		panic("share: " + err.Error())
	}
	return text
}

var errName = errors.New("not a name: want the CID of an Ed25519 public key in base36, k51…")

// ParseName reads the text that String prints and accepts no other spelling of it.
func ParseName(text string) (Name, error) {
	var n Name
	if len(text) != NameLen {
		return Name{}, errName
	}
	id, err := cid.Decode(text)
	if err != nil {
		return Name{}, errName
	}
	raw := id.Bytes()
	copy(n[:], raw[max(0, len(raw)-len(n)):])
	if n.String() != text {
		return Name{}, errName
	}
	return n, nil
}
