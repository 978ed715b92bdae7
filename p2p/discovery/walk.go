package discovery

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/internal/awake"
	"cairn/p2p"
)

// settle is how long after a member came up the DHT is walked: long enough for the others that come up at the same time.
const settle = 2 * time.Second

// soon are the pauses after the first walks. Whoever starts together with many others finds few in the DHT at first.
var soon = [...]time.Duration{30 * time.Second, 2 * time.Minute}

// enough is the size of a routing table that needs no further walks beyond the regular ones.
const enough = 20

// walk looks through the DHT for members nobody told of: soon after others came up, and every now and then. A node that
// starts looks for its neighbours and in one more place: that, and whom it is connected to, is a routing table that finds
// everybody, while a lookup for each of its parts would have a whole grid that starts connect everybody to everybody.
func (d *Discovery) walk(ctx context.Context) {
	events, cancel := d.host.Subscribe()
	defer cancel()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	next := time.Now().Add(settle)
	for count := 0; ; {
		select {
		case <-ctx.Done():
			return
		case e, open := <-events:
			if !open {
				return
			}
			if e.Change == p2p.Up && time.Until(next) > settle && d.Known() < enough {
				next = time.Now().Add(settle)
				timer.Reset(settle)
			}
		case <-timer.C:
			count++
			switch {
			case count%refreshWalks == 0:
				d.refresh(ctx)
			case count <= len(soon)+1 || d.Known() < enough:
				d.meet(ctx, string(d.dht.PeerID()))
			}
			d.Walk(ctx)
			pause := d.cfg.WalkEvery
			if count <= len(soon) {
				pause = min(pause, soon[count-1])
			}
			pause = pause*3/4 + mathrand.N(pause/2)
			next = time.Now().Add(pause)
			timer.Reset(pause)
		}
	}
}

// Walk goes to a random place in the DHT once, tells the host whom it found there, and returns how many that were.
func (d *Discovery) Walk(ctx context.Context) int {
	key := make([]byte, 32)
	rand.Read(key)
	return d.meet(ctx, string(key))
}

// refresh looks through every part of the routing table that no lookup came to for long, and drops members that are gone.
func (d *Discovery) refresh(ctx context.Context) {
	select {
	case err := <-d.dht.RefreshRoutingTable():
		if err != nil {
			d.log.Debug("look through the routing table", "error", err)
		}
	case <-ctx.Done():
	}
}

// meet tells the host who is close to a key, and returns how many that are.
func (d *Discovery) meet(ctx context.Context, key string) int {
	ctx, cancel := awake.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	found, err := d.dht.GetClosestPeers(ctx, key)
	if err != nil {
		d.log.Debug("walk through the DHT", "error", err)
	}
	for _, id := range found {
		d.host.LearnPeer(peer.AddrInfo{ID: id, Addrs: d.usable(d.dht.Host().Peerstore().Addrs(id))})
	}
	return len(found)
}
