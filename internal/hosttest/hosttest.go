// Package hosttest holds what tests with p2p hosts begin with.
package hosttest

import (
	"crypto/rand"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/p2p"
)

// Key makes the identity of a node.
func Key(t testing.TB) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Responsive counts the peers that are connected and answer.
func Responsive(h *p2p.Host) int {
	n := 0
	for _, p := range h.Peers() {
		if p.Responsive && p.Path != "" {
			n++
		}
	}
	return n
}
