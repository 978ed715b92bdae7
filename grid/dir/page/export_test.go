package page

import (
	"cairn/share/capability"
	"cairn/share/keys"
)

// SealWrong seals a write key that does not belong to the read capability beside it.
func SealWrong(dir keys.WriteKey, name string, read capability.Capability, key keys.WriteKey) Entry {
	s := NewSealer(dir)
	e := Entry{Name: name, Capability: read.Text()}
	nonce := make([]byte, s.aead.NonceSize())
	e.Sealed = s.aead.Seal(nonce, nonce, key[:], s.bound(e))
	return e
}

// Stamp is a time as it is stored.
var Stamp = stamp
