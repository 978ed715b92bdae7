package node

import (
	"time"

	"cairn/introducer"
	"cairn/p2p"
	"cairn/share"
)

// A person is whom usage is counted for: an account with all nodes that belong to it.
type person struct {
	key      string // names the account in this grid
	nickname string
	quota    int64 // bytes that its membership grants; 0: by the grid's policy
	devices  []share.ServerID
}

// accounts know whom a node belongs to, and how much accounts may use. They are safe for concurrent use, and answer at once.
type accounts interface {
	// account returns the account of a node, false when it belongs to none.
	account(id share.ServerID) (person, bool)
	// former returns the key of the account that a node belongs to or belonged to, false when it never had one. What a node
	// has stored counts for its account after it was removed too.
	former(id share.ServerID) (key string, known bool)
	policy() introducer.Policy
}

// openAccounts are those of an open grid: each node is its own account, and nobody sets limits but the nodes themselves.
type openAccounts struct{ host *p2p.Host }

func (o openAccounts) account(id share.ServerID) (person, bool) {
	p, _ := o.host.Peer(id)
	return person{key: string(id), nickname: p.Nickname, devices: []share.ServerID{id}}, true
}

func (openAccounts) former(id share.ServerID) (string, bool) { return string(id), true }

func (openAccounts) policy() introducer.Policy { return introducer.Policy{Kind: introducer.Unlimited} }

// rosterAccounts are those of a private grid.
type rosterAccounts struct{ roster *introducer.Roster }

func (r rosterAccounts) account(id share.ServerID) (person, bool) {
	m, ok := r.roster.AccountOf(id, time.Now())
	if !ok || m.State != introducer.StateMember {
		return person{}, false
	}
	a := person{key: m.Account.String(), nickname: m.Nickname, quota: m.Quota}
	for _, d := range m.Devices {
		a.devices = append(a.devices, d.ID)
	}
	return a, true
}

func (r rosterAccounts) former(id share.ServerID) (string, bool) {
	m, ok := r.roster.OwnerOf(id, time.Now())
	if !ok {
		return "", false
	}
	return m.Account.String(), true
}

func (r rosterAccounts) policy() introducer.Policy { return r.roster.Settings(time.Now()).Policy }
