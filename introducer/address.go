package introducer

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"strings"
)

// Prefix starts the text form of every grid address.
const Prefix = "cairn-grid:"

var text32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// An Address is what it takes to join an open grid: its descriptor and where to find some of its peers.
type Address struct {
	Grid Descriptor
	// Bootstrap are full multiaddrs, each ending in the /p2p/ id of its peer. It may be empty, when only the local
	// network helps to find the first peer.
	Bootstrap []string
}

// NewAddress returns the address of a grid with these peers to start from. At most 16 peers with at most 16
// addresses each fit.
func NewAddress(grid Descriptor, bootstrap []string) (Address, error) {
	if err := grid.verify(); err != nil {
		return Address{}, err
	}
	peers, err := encodePeers(bootstrap)
	if err != nil {
		return Address{}, err
	}
	canonical, err := decodePeers(peers)
	if err != nil {
		return Address{}, err
	}
	a := Address{Grid: grid, Bootstrap: canonical}
	if n := len(a.encoded()); n > maxEncoded {
		return Address{}, fmt.Errorf("the address takes %d bytes: want at most %d; name fewer peers", n, maxEncoded)
	}
	return a, nil
}

// CheckPeers returns what is wrong with full multiaddrs that are to lead to peers; the error wraps ErrMalformed.
func CheckPeers(addresses []string) error {
	if _, err := encodePeers(addresses); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// String returns the text form: the prefix and the binary form in base32, lower case, without padding.
func (a Address) String() string { return Prefix + text32.EncodeToString(a.encoded()) }

func (a Address) encoded() []byte {
	peers, err := encodePeers(a.Bootstrap)
	if err != nil {
		peers = nil // only an Address put together by hand: it still names the grid
	}
	return encode(wireAddress{Descriptor: a.Grid.encoded(), Signature: a.Grid.signature[:], Peers: peers})
}

// ParseAddress reads the text form of an address and checks the descriptor's signature. It accepts exactly what
// String prints. Every error wraps ErrMalformed.
func ParseAddress(text string) (Address, error) {
	a, err := parseAddress(text)
	if err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return a, nil
}

func parseAddress(text string) (Address, error) {
	body, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return Address{}, fmt.Errorf("%.40q does not start with %s", text, Prefix)
	}
	if len(body) > text32.EncodedLen(maxEncoded) {
		return Address{}, fmt.Errorf("%d characters: want at most %d", len(body), text32.EncodedLen(maxEncoded))
	}
	data, err := text32.DecodeString(body)
	if err != nil {
		return Address{}, fmt.Errorf("not base32, perhaps cut off or mistyped: %w", err)
	}
	var w wireAddress
	if err := decoder.Unmarshal(data, &w); err != nil {
		return Address{}, fmt.Errorf("perhaps cut off or mistyped: %w", err)
	}
	grid, err := decodeDescriptor(w.Descriptor, w.Signature)
	if err != nil {
		return Address{}, err
	}
	bootstrap, err := decodePeers(w.Peers)
	if err != nil {
		return Address{}, err
	}
	a := Address{Grid: grid, Bootstrap: bootstrap}
	if !bytes.Equal(a.encoded(), data) || a.String() != text {
		return Address{}, fmt.Errorf("not in canonical form")
	}
	return a, nil
}
