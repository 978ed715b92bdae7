package p2p

import (
	"fmt"
	"net"
	"strings"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// ListenAddresses returns the multiaddrs for TCP and QUIC on every interface, IPv4 and IPv6, at one port; 0 lets the
// system choose.
func ListenAddresses(port int) []string {
	return listenOn(port, "/ip4/0.0.0.0", "/ip6/::")
}

// LoopbackAddresses returns the multiaddrs for TCP and QUIC on the IPv4 loopback interface at one port.
func LoopbackAddresses(port int) []string { return listenOn(port, "/ip4/127.0.0.1") }

func listenOn(port int, interfaces ...string) []string {
	var addresses []string
	for _, i := range interfaces {
		addresses = append(addresses, fmt.Sprintf("%s/tcp/%d", i, port), fmt.Sprintf("%s/udp/%d/quic-v1", i, port))
	}
	return addresses
}

// listen opens every listen address. An IPv6 address that cannot be used is only logged, since many machines have no
// IPv6; any other failure is an error.
func (h *Host) listen() error {
	n, log := h.host.Network(), h.log
	for _, text := range h.cfg.Listen {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return fmt.Errorf("listen on %.80q: %w", text, err)
		}
		if len(h.cfg.Libp2p) == 0 { // otherwise the port may be of another network
			err = unused(a)
		}
		if err == nil {
			err = n.Listen(a)
		}
		switch {
		case err == nil:
		case strings.HasPrefix(text, "/ip6/"):
			log.Info("not listening", "address", text, "error", err)
		default:
			return fmt.Errorf("listen on %s: %w", text, err)
		}
	}
	return nil
}

// unused checks that no other socket has the port. The TCP transport binds with SO_REUSEPORT, with which a second node on
// the same port would seem to work and take half of the connections of the first.
func unused(a multiaddr.Multiaddr) error {
	kind, address, err := manet.DialArgs(a.Decapsulate(multiaddr.StringCast("/quic-v1")))
	if err != nil || strings.HasSuffix(address, ":0") {
		return nil
	}
	if strings.HasPrefix(kind, "udp") {
		c, err := net.ListenPacket(kind, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(kind, address)
	if err != nil {
		return err
	}
	return l.Close()
}
