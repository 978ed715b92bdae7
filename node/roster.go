package node

import (
	"context"

	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/p2p"
	"cairn/p2p/discovery"
)

// roster opens the roster of the node's grid, nil for an open grid.
func (d *Dir) roster(grid introducer.Descriptor) (*introducer.Roster, error) {
	if grid.Open {
		return nil, nil
	}
	return introducer.OpenRoster(grid, d.file(rosterFile))
}

// openRoster reads who belongs to the grid.
func (n *Node) openRoster(context.Context) (err error) {
	n.roster, err = n.dir.roster(n.address.Grid)
	return err
}

// gate returns what admits peers.
func (n *Node) gate() p2p.Gate {
	if n.roster == nil {
		return n.address.Grid.Gate()
	}
	return n.roster
}

// present returns what shows this node's credentials to members that do not know it.
func (n *Node) present() func(context.Context, p2p.Stream) error {
	if n.roster == nil {
		return nil
	}
	return exchange.Present(n.roster, n.dir.id)
}

// values returns what the DHT of the grid keeps beside addresses: in a private grid a copy of the roster.
func (n *Node) values() map[string]discovery.Validator {
	if n.roster == nil {
		return nil
	}
	return map[string]discovery.Validator{exchange.Namespace: exchange.Judge{Roster: n.roster}}
}

// openExchange keeps the roster in step with those of the other members.
func (n *Node) openExchange(context.Context) error {
	if n.roster == nil {
		return nil
	}
	var err error
	n.exchange, err = exchange.New(exchange.Config{Host: n.host, Roster: n.roster, Values: n.discovery, Logger: n.log.With("part", "roster")})
	if err != nil {
		return err
	}
	n.opened(n.exchange)
	return nil
}

// newAccounts returns who owns which nodes.
func (n *Node) newAccounts() accounts {
	if n.roster == nil {
		return openAccounts{n.host}
	}
	return rosterAccounts{n.roster}
}
