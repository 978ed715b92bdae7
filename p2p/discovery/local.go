package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// addressPause is how long addresses are left to settle before the local network is told of them anew.
const addressPause = 5 * time.Second

// ServiceName returns the name under which nodes of a grid look for each other on the local network. It tells nobody which
// grid that is.
func ServiceName(grid string) string {
	sum := sha256.Sum256([]byte("cairn mdns " + grid))
	return "_cairn-" + hex.EncodeToString(sum[:4]) + "._udp"
}

// lookAround announces this node on the local network and meets those who do the same, anew whenever the node's addresses
// change. A network without multicast is no error.
func (d *Discovery) lookAround(ctx context.Context) {
	changes, err := d.dht.Host().EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("cairn/mdns"))
	if err != nil {
		d.log.Warn("members on the local network are looked for once only", "error", err)
	} else {
		defer changes.Close()
	}
	for ctx.Err() == nil {
		service := mdns.NewMdnsService(d.dht.Host(), ServiceName(d.host.Grid()), notifee{d})
		if err := service.Start(); err != nil {
			d.log.Info("members on the local network are not looked for", "error", err)
		}
		if changes == nil {
			<-ctx.Done()
		} else {
			awaitChange(ctx, changes)
		}
		if err := service.Close(); err != nil {
			d.log.Debug("stop looking at the local network", "error", err)
		}
	}
}

// awaitChange returns a while after the addresses changed, or when the context ends.
func awaitChange(ctx context.Context, changes event.Subscription) {
	select {
	case <-ctx.Done():
		return
	case _, open := <-changes.Out():
		if !open {
			<-ctx.Done()
			return
		}
	}
	timer := time.NewTimer(addressPause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case _, open := <-changes.Out():
			if !open {
				<-ctx.Done()
				return
			}
		}
	}
}

type notifee struct{ d *Discovery }

// HandlePeerFound implements mdns.Notifee.
func (n notifee) HandlePeerFound(info peer.AddrInfo) { n.d.host.LearnPeer(info) }
