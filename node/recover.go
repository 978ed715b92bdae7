package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"cairn/introducer"
	"cairn/introducer/recovery"
	"cairn/p2p"
	"cairn/share"
)

// Recovered says what came back.
type Recovered struct {
	Joined
	// Founder says that the key of the grid came back too: the person founded it.
	Founder bool
	// Node is the id of this node.
	Node share.ServerID
}

// Recover makes the node a further device of the account in a private grid, whose members it asks by these full multiaddrs until one
// lets it in. The node must not run. The grid is the short id of the one to come back to; empty takes whichever the members
// belong to. The nickname names the device.
//
// The error is ErrHasGrid, what recovery.Recover returns, or that nothing could be written.
func (d *Dir) Recover(ctx context.Context, addresses []string, grid, nickname string) (Recovered, error) {
	switch current, err := d.Grid(); {
	case err == nil:
		return Recovered{}, fmt.Errorf("recover: %w, %s", ErrHasGrid, current.Grid)
	case !errors.Is(err, ErrNoGrid) && !errors.Is(err, share.ErrCorrupt):
		return Recovered{}, fmt.Errorf("recover: %w", err)
	}
	account, err := d.Account()
	if err != nil {
		return Recovered{}, err
	}
	host, err := p2p.OpenStranger(ctx, p2p.Config{Key: d.identity})
	if err != nil {
		return Recovered{}, err
	}
	defer host.Close()
	got, err := recovery.Recover(ctx, host, addresses, recovery.Claimant{
		Account: account, Node: d.identity, Device: cmp.Or(nickname, d.id.Short()), Grid: grid,
	})
	if err != nil {
		return Recovered{}, err
	}
	address, err := introducer.NewAddress(got.Grid, bootstrap(got.Contacts))
	if err != nil {
		return Recovered{}, fmt.Errorf("recover grid %s: %w", got.Grid, err)
	}
	founder, err := d.recoverGridKey(got.Grid)
	if err != nil {
		return Recovered{}, err
	}
	if err := d.Enter(Admission{Address: address, Statements: got.Statements}); err != nil {
		return Recovered{}, err
	}
	roster, err := d.roster(got.Grid)
	if err != nil {
		return Recovered{}, err
	}
	joined := Joined{Grid: got.Grid, Member: got.Member, Settings: roster.Settings(time.Now()), Device: true}
	return Recovered{Joined: joined, Founder: founder, Node: d.id}, nil
}

// RecoverOpen makes the node a member of an open grid, as Join does, and brings back the grid's key where the person founded it.
func (d *Dir) RecoverOpen(address introducer.Address) (Recovered, error) {
	if err := d.Join(address); err != nil {
		return Recovered{}, err
	}
	founder, err := d.recoverGridKey(address.Grid)
	return Recovered{Joined: Joined{Grid: address.Grid}, Founder: founder, Node: d.id}, err
}

// recoverGridKey keeps the key of a grid that the account founded.
func (d *Dir) recoverGridKey(grid introducer.Descriptor) (bool, error) {
	founder, err := d.founder()
	if err != nil || founder.IsZero() {
		return false, err
	}
	key := founder.GridKey(grid.Name, grid.Created)
	if !grid.Key().Equal(key.Public().(ed25519.PublicKey)) {
		return false, nil
	}
	if err := d.writeGridKey(grid.ID(), key); err != nil {
		return false, fmt.Errorf("recover grid %s: %w", grid, err)
	}
	return true, nil
}

// openRecovery lets members back in who lost everything but their phrase.
func (n *Node) openRecovery(context.Context) error {
	if n.roster == nil {
		return nil
	}
	server, err := recovery.NewServer(recovery.Config{
		Roster: n.roster, Self: n.dir.id, Contacts: n.contacts, Logger: n.log.With("part", "recovery"),
	})
	if err != nil {
		return err
	}
	n.host.HandleStranger(recovery.Protocol, server.Serve)
	return nil
}
