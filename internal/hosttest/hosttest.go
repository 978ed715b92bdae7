// Package hosttest holds what tests with p2p hosts begin and wait with.
package hosttest

import (
	"crypto/rand"
	"testing"
	"time"

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

// Eventually waits until the condition holds, and returns how long that took. The test ends when the limit is over.
func Eventually(t testing.TB, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(begin)
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
