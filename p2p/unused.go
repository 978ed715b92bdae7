package p2p

import (
	"fmt"

	"github.com/multiformats/go-multiaddr"
)

// Unused returns nil when a host could listen on the multiaddr now, as far as other sockets are concerned. A port that is
// chosen at the start is always free.
func Unused(address string) error {
	a, err := multiaddr.NewMultiaddr(address)
	if err != nil {
		return fmt.Errorf("%.80q: %w", address, err)
	}
	return unused(a)
}
