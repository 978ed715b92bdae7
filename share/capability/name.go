package capability

import (
	"crypto/ed25519"

	"cairn/share"
	"cairn/share/keys"
)

// NameOf returns the name of the mutable thing with this write key.
func NameOf(key keys.WriteKey) share.Name {
	return share.Name(key.Signer().Public().(ed25519.PublicKey))
}
