package invite

import (
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"cairn/share"
)

// chosen is how many addresses an invitation names where there are more: each makes the text longer.
const chosen = 6

func chooseAddresses(self share.ServerID, addresses []string) []string {
	return ChooseAddresses(self, addresses, chosen)
}

// ChooseAddresses returns at most so many addresses of one node that are worth naming, in their order: those of the loopback
// interface only where there are no others, and none that does not fit into an invitation.
func ChooseAddresses(self share.ServerID, addresses []string, most int) []string {
	own := slices.DeleteFunc(slices.Clone(addresses), func(text string) bool {
		info, err := peer.AddrInfoFromString(text)
		return err != nil || info.ID.String() != string(self) || len(info.Addrs) != 1 || len(info.Addrs[0].Bytes()) > maxField
	})
	if slices.ContainsFunc(own, isRemote) {
		own = slices.DeleteFunc(own, func(text string) bool { return !isRemote(text) })
	}
	slices.SortStableFunc(own, func(a, b string) int { return relayed(a) - relayed(b) })
	if n := len(own); n > most {
		// A way through a relay is the one that always works, so that one stays.
		own = append(own[:most-1:most-1], own[n-1])
	}
	return own
}

func isRemote(text string) bool {
	a, err := multiaddr.NewMultiaddr(text)
	return err == nil && !manet.IsIPLoopback(a)
}

func relayed(text string) int {
	if strings.Contains(text, "/p2p-circuit") {
		return 1
	}
	return 0
}
