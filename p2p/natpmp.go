package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/libp2p/go-netroute"
)

const (
	natPMPPort = 5351
	// natPMPFirst is how long the first answer is waited for; each further wait is twice as long. natPMPTries is how many there
	// are: a router on the local network answers within milliseconds.
	natPMPFirst = 250 * time.Millisecond
	natPMPTries = 3
)

// natPMP is a router that speaks the NAT Port Mapping Protocol (RFC 6886).
type natPMP struct {
	router  netip.AddrPort
	outside netip.Addr // the router's address on the Internet
}

// somewhere is an address of the Internet. Nothing is sent there: it stands for all that the default route leads to.
var somewhere = net.IPv4(9, 9, 9, 9)

// findNATPMP asks the router that the default route leads to for its outside address.
func findNATPMP(ctx context.Context) (*natPMP, error) {
	routes, err := netroute.New()
	if err != nil {
		return nil, err
	}
	_, gateway, _, err := routes.Route(somewhere)
	if err != nil {
		return nil, err
	}
	at, ok := netip.AddrFromSlice(gateway.To4())
	if !ok {
		return nil, errors.New("no router for IPv4")
	}
	return askNATPMP(ctx, netip.AddrPortFrom(at, natPMPPort))
}

func askNATPMP(ctx context.Context, router netip.AddrPort) (*natPMP, error) {
	n := &natPMP{router: router}
	answer, err := n.call(ctx, []byte{0, 0}, 12)
	if err != nil {
		return nil, err
	}
	n.outside = netip.AddrFrom4([4]byte(answer[8:12]))
	if n.outside.IsUnspecified() {
		return nil, errors.New("the router is not connected")
	}
	return n, nil
}

// forward asks the router to forward an outside port, the same one if it can, and returns which it is. Zero time ends it.
func (n *natPMP) forward(ctx context.Context, f forwarded, within time.Duration) (outside uint16, err error) {
	ask := make([]byte, 12)
	ask[1] = 1
	if f.transport == "tcp" {
		ask[1] = 2
	}
	binary.BigEndian.PutUint16(ask[4:], f.port)
	if within > 0 {
		binary.BigEndian.PutUint16(ask[6:], f.port)
		binary.BigEndian.PutUint32(ask[8:], uint32(within/time.Second))
	}
	answer, err := n.call(ctx, ask, 16)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(answer[10:]), nil
}

// call sends a request until there is an answer of the length.
func (n *natPMP) call(ctx context.Context, ask []byte, length int) ([]byte, error) {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(n.router)) // takes packets from the router only
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	answer := make([]byte, 64)
	for try := range natPMPTries {
		c.SetDeadline(time.Now().Add(natPMPFirst << try))
		if _, err = c.Write(ask); err != nil {
			return nil, err
		}
		for {
			var got int
			if got, err = c.Read(answer); err != nil {
				break
			}
			if got >= 4 && answer[1] == ask[1]|0x80 {
				return checkNATPMP(answer[:got], length)
			}
		}
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			return nil, err
		}
	}
	return nil, err
}

func checkNATPMP(answer []byte, length int) ([]byte, error) {
	if code := binary.BigEndian.Uint16(answer[2:]); answer[0] != 0 || code != 0 {
		return nil, fmt.Errorf("the router refuses: version %d, code %d", answer[0], code)
	}
	if len(answer) < length {
		return nil, errors.New("the router's answer is too short")
	}
	return answer, nil
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }
