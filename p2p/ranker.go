package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
)

// Delays of the dial ranker.
const (
	quicDelay  = 250 * time.Millisecond
	otherDelay = 500 * time.Millisecond
	relayDelay = time.Second
)

// rankDials orders the addresses of a peer: TCP at once, QUIC a little later, a relay last. TCP with TLS costs a quarter
// of QUIC's CPU for bulk and uses the kernel's congestion control; QUIC is there for peers that TCP does not reach.
func rankDials(addresses []multiaddr.Multiaddr) []network.AddrDelay {
	ranked := make([]network.AddrDelay, 0, len(addresses))
	delays := [...]time.Duration{0, quicDelay, otherDelay, relayDelay}
	first := len(delays)
	for _, a := range addresses {
		first = min(first, dialClass(a))
	}
	for class := first; class < len(delays); class++ {
		for _, a := range addresses {
			if dialClass(a) == class {
				ranked = append(ranked, network.AddrDelay{Addr: a, Delay: delays[class] - delays[first]})
			}
		}
	}
	return ranked
}

func dialClass(a multiaddr.Multiaddr) int {
	class := 2
	for _, c := range a {
		switch c.Protocol().Code {
		case multiaddr.P_CIRCUIT:
			return 3
		case multiaddr.P_TCP:
			class = 0
		case multiaddr.P_QUIC_V1:
			class = 1
		}
	}
	return class
}
