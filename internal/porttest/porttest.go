// Package porttest chooses ports for tests in which something listens on a port that was chosen before, or again after it has ended.
package porttest

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net"
	"testing"
)

// The ports lie below those that systems give to who asks for any port, and to connections that go out: a port that was free would be
// somebody else's by the time at which it is listened on.
const (
	first = 20000
	count = 10000
	tries = 100
)

// Free returns a TCP port of this machine's loopback on which nothing listens.
func Free(t testing.TB) int {
	t.Helper()
	var last error
	for range tries {
		n, err := rand.Int(rand.Reader, big.NewInt(count))
		if err != nil {
			t.Fatal(err)
		}
		port := first + int(n.Int64())
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatalf("no port is free: %v", last)
	return 0
}
