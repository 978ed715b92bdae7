package discovery

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/internal/awake"
	"cairn/share"
)

const (
	// contactsFound is how many members a complete lookup returns, in a grid that has as many (k of Kademlia).
	contactsFound = 20
	// lateAnswers is how long a search goes on after somebody named a holder.
	lateAnswers = 300 * time.Millisecond
)

// Find returns the servers worth asking for shares of a file. In a small grid, or one without Providers, these are all
// members that store; in a large one those that announced the file, at most MaxProviders of them. It takes at most
// Config.Within and returns what it has by then; none at all is share.ErrNotFound.
func (d *Discovery) Find(ctx context.Context, index share.StorageIndex) ([]share.ServerID, error) {
	var all []share.ServerID
	for _, p := range d.host.Peers() {
		if p.Storage && p.Problem == "" {
			all = append(all, p.ID)
		}
	}
	if d.announcer == nil || len(all) <= d.cfg.AskAllUpTo {
		return all, nil
	}
	return d.Providers(ctx, index)
}

// Providers returns the servers that announced the file, whatever the size of the grid. It asks the members closest to the
// file in the DHT, those that should have its records first and the others of the lookup only when these name nobody.
func (d *Discovery) Providers(ctx context.Context, index share.StorageIndex) ([]share.ServerID, error) {
	if d.announcer == nil {
		return nil, fmt.Errorf("find %s: %w", index, errors.New("this grid announces nothing"))
	}
	ctx, cancel := awake.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	p := keyOf(index).place()
	contacts, err := d.lookup(ctx, p)
	if err != nil && len(contacts) == 0 {
		return nil, fmt.Errorf("find %s: %w: %w", index, share.ErrNotFound, err)
	}
	contacts = closest(contacts, p.at, len(contacts))
	keepers := min(Replication, len(contacts))
	found := d.askAll(ctx, contacts[:keepers], p.key)
	if len(found) == 0 {
		found = d.askAll(ctx, contacts[keepers:], p.key)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find %s: %w: no server announced it", index, share.ErrNotFound)
	}
	return found, nil
}

// askAll asks members which servers announced a file and returns those that are admitted, without this node. It does not
// wait for the last ones once somebody named one.
func (d *Discovery) askAll(ctx context.Context, contacts []contact, key fileKey) []share.ServerID {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() { cancel(); tasks.Wait() }()
	answers := make(chan []peer.AddrInfo, len(contacts))
	for _, c := range contacts {
		tasks.Go(func() { answers <- d.askFor(ctx, c.id, key) })
	}
	var found []share.ServerID
	var late <-chan time.Time
	for range contacts {
		select {
		case <-ctx.Done():
			return found
		case <-late:
			return found
		case answer := <-answers:
			found = d.admitted(found, answer)
		}
		if late == nil && len(found) > 0 {
			timer := time.NewTimer(lateAnswers)
			defer timer.Stop()
			late = timer.C
		}
	}
	return found
}

func (d *Discovery) admitted(found []share.ServerID, named []peer.AddrInfo) []share.ServerID {
	for _, info := range named {
		id := share.ServerID(info.ID.String())
		if info.ID == d.dht.PeerID() || d.host.Admit(info.ID) != nil || len(found) >= MaxProviders || slices.Contains(found, id) {
			continue
		}
		d.host.LearnPeer(peer.AddrInfo{ID: info.ID, Addrs: d.usable(info.Addrs)})
		found = append(found, id)
	}
	return found
}

// askFor asks one member, or looks into what this node keeps itself. Who does not answer names nobody.
func (d *Discovery) askFor(ctx context.Context, id peer.ID, key fileKey) []peer.AddrInfo {
	if id == d.dht.PeerID() {
		return d.kept(key)
	}
	named, err := d.askRecords(ctx, id, key)
	if err != nil {
		d.log.Debug("no answer who has a file", "peer", share.ServerID(id.String()).Short(), "error", err)
	}
	return named
}

// kept returns who announced a file to this node.
func (d *Discovery) kept(key fileKey) (named []peer.AddrInfo) {
	for _, s := range d.records.get(key, MaxProviders, time.Now()) {
		if d.host.Admit(s.id) != nil {
			continue
		}
		addresses, err := readAddresses(bufio.NewReader(bytes.NewReader(s.addresses)))
		if err == nil {
			named = append(named, peer.AddrInfo{ID: s.id, Addrs: addresses})
		}
	}
	return named
}

// lookup returns the members closest to a place, this node among them if it keeps records.
func (d *Discovery) lookup(ctx context.Context, p place) ([]contact, error) {
	d.lookups.Add(1)
	ids, err := d.dht.GetClosestPeers(ctx, p.key.text())
	if d.cfg.Serve {
		ids = append(ids, d.dht.PeerID())
	}
	contacts := make([]contact, len(ids))
	for i, id := range ids {
		contacts[i] = contact{id: id, at: position(string(id))}
	}
	return contacts, err
}

// explore looks for the members close to a place, and returns the region of which they are all there are.
func (d *Discovery) explore(ctx context.Context, around place) ([]contact, region, error) {
	ctx, cancel := awake.WithTimeout(ctx, exploreWithin)
	defer cancel()
	contacts, err := d.lookup(ctx, around)
	if err != nil {
		return nil, region{}, fmt.Errorf("look for members: %w: %w", share.ErrUnavailable, err)
	}
	others := slices.DeleteFunc(slices.Clone(contacts), func(c contact) bool { return c.id == d.dht.PeerID() })
	if len(others) < contactsFound {
		return contacts, region{0, lastPosition}, nil
	}
	return contacts, knownAround(around.at, others), nil
}

// expireRecords drops what nobody announces any more.
func (d *Discovery) expireRecords(ctx context.Context) {
	tick := time.NewTicker(recordAge / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.records.expire(now)
		}
	}
}
