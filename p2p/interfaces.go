package p2p

import (
	"net"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// interfaces knows the addresses of this machine. The library looks at them once a minute, which is long for who has just
// changed to another network.
type interfaces struct {
	mu   sync.Mutex
	list []net.IP
	lost []net.IP // were here and are not
	net  network.Network
}

// maxLost bounds how many former addresses are remembered.
const maxLost = 64

// look returns the addresses that went since it was called last, and whether there are new ones.
func (i *interfaces) look() (gone []net.IP, news bool) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, false
	}
	var now []net.IP
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			now = append(now, n.IP)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	gone = minus(i.list, now)
	news = i.list != nil && len(minus(now, i.list)) > 0
	i.lost = append(minus(i.lost, now), gone...)
	i.lost = i.lost[max(0, len(i.lost)-maxLost):]
	i.list = now
	return gone, news
}

// watch has announce know what is listened on.
func (i *interfaces) watch(n network.Network) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.net = n
}

// announce corrects the addresses that the library would tell others: without those that are gone, with the new ones.
func (i *interfaces) announce(list []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	i.mu.Lock()
	own, lost, n := slices.Clone(i.list), slices.Clone(i.lost), i.net
	i.mu.Unlock()
	list = slices.DeleteFunc(slices.Clone(list), func(a multiaddr.Multiaddr) bool {
		ip, err := manet.ToIP(a)
		return err == nil && !isCircuit(a) && slices.ContainsFunc(lost, ip.Equal)
	})
	if n == nil {
		return list
	}
	var here []multiaddr.Multiaddr
	for _, ip := range own {
		if a, err := manet.FromIP(ip); err == nil && !ip.IsLinkLocalUnicast() {
			here = append(here, a)
		}
	}
	for _, l := range n.ListenAddresses() {
		if !manet.IsIPUnspecified(l) {
			continue
		}
		if resolved, err := manet.ResolveUnspecifiedAddress(l, here); err == nil {
			list = append(list, resolved...)
		}
	}
	return multiaddr.Unique(list)
}

func minus(list, drop []net.IP) []net.IP {
	return slices.DeleteFunc(slices.Clone(list), func(ip net.IP) bool { return slices.ContainsFunc(drop, ip.Equal) })
}
