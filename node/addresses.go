package node

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"cairn/p2p"
	"cairn/share"
)

// maxOwnAddresses bounds how many of a node's own addresses go into a grid address.
const maxOwnAddresses = 12

// ChooseListen returns multiaddrs to listen on, with a port that is free now on TCP and UDP. A node keeps its port for
// good, so that others find it again and a router can be told to forward it.
func ChooseListen() ([]string, error) {
	const attempts = 20
	var last error
	for range attempts {
		port, err := freePort()
		if err == nil {
			return p2p.ListenAddresses(port), nil
		}
		last = err
	}
	return nil, fmt.Errorf("find a free port: %w", last)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	c, err := net.ListenPacket("udp", ":"+strconv.Itoa(port))
	if err != nil {
		return 0, err
	}
	return port, c.Close()
}

// reachable returns the full multiaddrs at which a node that listens like this can be reached from this machine and its
// networks. Addresses whose port is chosen at the start are left out.
func reachable(listen []string, id share.ServerID) []string {
	var ip4, ip6 []string
	addrs, _ := net.InterfaceAddrs() // without them only what is listened on by name remains
	for _, a := range addrs {
		ip, _, err := net.ParseCIDR(a.String())
		switch {
		case err != nil || ip.IsLinkLocalUnicast():
		case ip.To4() != nil:
			ip4 = append(ip4, "/ip4/"+ip.String()+"/")
		case !ip.IsLoopback():
			ip6 = append(ip6, "/ip6/"+ip.String()+"/")
		}
	}
	var full []string
	for _, address := range listen {
		if strings.Contains(address+"/", "/tcp/0/") || strings.Contains(address+"/", "/udp/0/") {
			continue
		}
		for _, resolved := range resolve(resolve([]string{address}, "/ip4/0.0.0.0/", ip4), "/ip6/::/", ip6) {
			full = append(full, resolved+"/p2p/"+string(id))
		}
	}
	return full[:min(len(full), maxOwnAddresses)]
}

// resolve replaces an address of every interface by those of each.
func resolve(addresses []string, unspecified string, each []string) []string {
	var resolved []string
	for _, address := range addresses {
		rest, ok := strings.CutPrefix(address, unspecified)
		if !ok {
			resolved = append(resolved, address)
			continue
		}
		for _, ip := range each {
			resolved = append(resolved, ip+rest)
		}
	}
	return resolved
}
