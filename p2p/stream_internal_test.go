package p2p

import (
	"errors"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
)

// A lossyStream answers as go-yamux does when the connection is lost while a read acknowledges what it got.
type lossyStream struct {
	network.Stream
	reads int
}

func (s *lossyStream) Read(p []byte) (int, error) {
	if s.reads++; s.reads > 1 {
		return 0, network.ErrReset
	}
	return copy(p, "the first half"), io.EOF
}

// TestLostConnectionIsNoEnd: what was cut off is not taken for whole.
func TestLostConnectionIsNoEnd(t *testing.T) {
	got, err := io.ReadAll(honestStream{&lossyStream{}})
	if !errors.Is(err, network.ErrReset) {
		t.Errorf("a stream that was cut off after %q ended with %v", got, err)
	}
}
