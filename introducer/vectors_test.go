package introducer_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"

	"cairn/introducer"
)

// fixedGrid returns a grid that is the same in every run.
func fixedGrid(testing.TB) (introducer.Descriptor, ed25519.PrivateKey) {
	seed := sha256.Sum256([]byte("cairn vector grid"))
	key := ed25519.NewKeyFromSeed(seed[:])
	return introducer.FoundWith(key, "river friends", founded), key
}
