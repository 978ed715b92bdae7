// Package capability is the text form of the right to write, read or verify one thing.
//
// A capability is a value: it says what kind of thing it opens, and it carries the keys that open it. Whoever holds
// the text holds the authority; there is nothing else to ask. Weaker capabilities are computed from stronger ones
// without a network, never the other way round. docs/formats.md, "Capabilities", is the specification.
package capability

import (
	"crypto/subtle"
	"fmt"

	"cairn/share"
	"cairn/share/keys"
)

// Bounds of a capability.
const (
	// MaxLiteral is how many bytes of data a literal capability holds at most. Files that small are not stored.
	MaxLiteral = 55
	// MaxText bounds the text of a capability in bytes, unknown kinds included.
	MaxText = 1024
)

// A Capability is the right to do something with one file or directory. It is immutable and safe for concurrent
// use; the zero value opens nothing. Compare with Equal, not with ==. Only Text gives the secret away: every other
// way of printing it shows a form without keys.
type Capability struct {
	_     [0]func() // not comparable: comparing keys takes constant time
	kind  Kind
	index share.StorageIndex
	name  share.Name
	key   [keys.Size]byte
	text  string // a literal's data, or all of the text of an unknown kind
}

// File returns the read capability of an immutable file.
func File(index share.StorageIndex, key keys.ReadKey) Capability {
	return Capability{kind: KindFile, index: index, key: key}
}

// FileVerify returns the verify capability of an immutable file.
func FileVerify(index share.StorageIndex) Capability {
	return Capability{kind: KindFileVerify, index: index}
}

// Literal returns the capability that is its data. It returns ErrTooLarge for more than MaxLiteral bytes.
func Literal(data []byte) (Capability, error) {
	if len(data) > MaxLiteral {
		return Capability{}, fmt.Errorf("literal of %d bytes: %w: at most %d", len(data), share.ErrTooLarge, MaxLiteral)
	}
	return Capability{kind: KindLiteral, text: string(data)}, nil
}

// Mutable returns the write capability of the mutable file with this write key.
func Mutable(key keys.WriteKey) Capability {
	return Capability{kind: KindMutable, name: NameOf(key), key: key}
}

// Directory returns the write capability of the directory with this write key.
func Directory(key keys.WriteKey) Capability {
	return Capability{kind: KindDir, name: NameOf(key), key: key}
}

// ImmutableDirectory returns the read capability of an immutable directory.
func ImmutableDirectory(index share.StorageIndex, key keys.ReadKey) Capability {
	return Capability{kind: KindIDir, index: index, key: key}
}

// Kind says what the capability opens; KindUnknown for a kind of a later version, which is carried but not understood.
func (c Capability) Kind() Kind { return c.kind }

// Authority says what the holder can do.
func (c Capability) Authority() Authority { return c.kind.Authority() }

// IsZero reports whether this is the zero value, which Parse never returns.
func (c Capability) IsZero() bool { return c.kind == KindUnknown && c.text == "" }

// StorageIndex returns the storage index of an immutable file or directory.
func (c Capability) StorageIndex() (share.StorageIndex, bool) {
	return c.index, c.kind.shape().subject == subjectIndex
}

// Name returns the name of a mutable file or directory.
func (c Capability) Name() (share.Name, bool) {
	return c.name, c.kind.shape().subject == subjectName
}

// ReadKey returns the read key of everything but literals that can be read, derived from the write key where there is one.
func (c Capability) ReadKey() (keys.ReadKey, bool) {
	switch c.kind.shape().key {
	case keyWrite:
		return keys.WriteKey(c.key).ReadKey(), true
	case keyRead:
		return c.key, true
	default:
		return keys.ReadKey{}, false
	}
}

// WriteKey returns the write key of a mutable file or directory.
func (c Capability) WriteKey() (keys.WriteKey, bool) {
	return c.key, c.kind.shape().key == keyWrite
}

// Data returns a copy of the data of a literal.
func (c Capability) Data() ([]byte, bool) {
	if c.kind != KindLiteral {
		return nil, false
	}
	return []byte(c.text), true
}

// Equal reports whether both give the same authority over the same thing, which is when they have the same text. The
// time it takes does not depend on the keys.
func (c Capability) Equal(other Capability) bool {
	return c.kind == other.kind && c.index == other.index && c.name == other.name &&
		subtle.ConstantTimeCompare(c.key[:], other.key[:]) == 1 &&
		subtle.ConstantTimeCompare([]byte(c.text), []byte(other.text)) == 1
}
