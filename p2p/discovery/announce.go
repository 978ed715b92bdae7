package discovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"cairn/share"
)

// newProvider returns the announcer. It sends all records that belong to one region of the key space together, which is
// an order of magnitude cheaper than one lookup per record, and repeats them once in 22 hours, spread over that time.
func (d *Discovery) newProvider() (*provider.SweepingProvider, error) {
	options := []provider.Option{
		provider.WithHost(d.dht.Host()),
		provider.WithRouter(d.dht),
		provider.WithMessageSender(d.dht.MessageSender()),
		provider.WithSelfAddrs(func() []multiaddr.Multiaddr { return d.usable(d.dht.Host().Addrs()) }),
		provider.WithAddLocalRecord(func(ctx context.Context, hash multihash.Multihash) error {
			return d.dht.Provide(ctx, cid.NewCidV1(cid.Raw, hash), false)
		}),
		provider.WithSendProviderRecordTimeout(d.cfg.Within),
	}
	if d.cfg.Datastore != nil {
		store := namespace.Wrap(d.cfg.Datastore, datastore.NewKey("/announced"))
		keys, err := keystore.NewKeystore(namespace.Wrap(store, datastore.NewKey("/keys")))
		if err != nil {
			return nil, err
		}
		d.keys = keys
		options = append(options, provider.WithKeystore(keys), provider.WithDatastore(store))
	}
	return provider.New(options...)
}

// Announce tells the grid that this node holds shares of the files, now and again until Withdraw. It returns at once; the
// records are sent in the background, as soon as other members are connected. Without Providers it does nothing, since
// everybody is asked.
func (d *Discovery) Announce(ctx context.Context, indexes ...share.StorageIndex) error {
	if d.provider == nil || len(indexes) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := d.provider.StartProviding(false, hashes(indexes)...); err != nil {
		return fmt.Errorf("announce %d files: %w: %v", len(indexes), share.ErrClosed, err)
	}
	return nil
}

// Withdraw ends the announcements of files whose shares are gone. Records that others hold expire within two days.
func (d *Discovery) Withdraw(_ context.Context, indexes ...share.StorageIndex) error {
	if d.provider == nil || len(indexes) == 0 {
		return nil
	}
	if err := d.provider.StopProviding(hashes(indexes)...); err != nil {
		return fmt.Errorf("withdraw %d files: %w", len(indexes), err)
	}
	return nil
}

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
	if d.provider == nil || len(all) <= d.cfg.AskAllUpTo {
		return all, nil
	}
	found, err := d.Providers(ctx, index)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Providers returns the servers that announced the file in the DHT, whatever the size of the grid.
func (d *Discovery) Providers(ctx context.Context, index share.StorageIndex) ([]share.ServerID, error) {
	if d.provider == nil {
		return nil, fmt.Errorf("find %s: %w", index, errors.New("this grid announces nothing"))
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Within)
	defer cancel()
	var found []share.ServerID
	for info := range d.dht.FindProvidersAsync(ctx, index.CID(), MaxProviders) {
		if d.host.Admit(info.ID) != nil || info.ID == d.dht.PeerID() {
			continue
		}
		d.host.LearnPeer(peer.AddrInfo{ID: info.ID, Addrs: d.usable(info.Addrs)})
		found = append(found, share.ServerID(info.ID.String()))
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find %s: %w: no server announced it", index, share.ErrNotFound)
	}
	return found, nil
}

func hashes(indexes []share.StorageIndex) []multihash.Multihash {
	list := make([]multihash.Multihash, len(indexes))
	for i, index := range indexes {
		list[i] = index.CID().Hash()
	}
	return list
}
