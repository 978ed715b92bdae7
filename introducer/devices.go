package introducer

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/share"
)

// AddDevice signs as of now that a node belongs to an account, adds that, and returns it. It fills in all but Name and
// Expires. It refuses, wrapping share.ErrDenied, an account that is no member and a node of another member, and, wrapping
// share.ErrTooLarge, an account with MaxDevices others.
func (r *Roster) AddDevice(account Account, node crypto.PrivKey, d Device, now time.Time) ([]byte, error) {
	if node == nil || node.Type() != crypto.Ed25519 {
		return nil, errNodeKey
	}
	key, err := node.GetPublic().Raw()
	if err != nil {
		return nil, fmt.Errorf("add device: %w", err)
	}
	if d.ID, err = nodeID(key); err != nil {
		return nil, fmt.Errorf("add device: %w", err)
	}
	v := r.at(now)
	m := v.accounts[account.Key()]
	if m == nil || m.State != StateMember {
		return nil, fmt.Errorf("add device: account %s is no member of grid %s: %w", account.Key().Short(), r.grid, share.ErrDenied)
	}
	held := v.nodes[d.ID]
	if held != nil && held.fault == "" && held.of != m {
		return nil, fmt.Errorf("add device: peer %s belongs to %s: %w", d.ID.Short(), held.of.Nickname, share.ErrDenied)
	}
	if len(m.devices) >= MaxDevices && (held == nil || held.fault != "") {
		return nil, fmt.Errorf("add device: %s has %d devices; remove one first: %w", m.Nickname, MaxDevices, share.ErrTooLarge)
	}
	d.Issued, d.Seq = now, r.nextSeq(slot{KindDevice, account.Key(), [32]byte(key)}, now)
	data, err := SignDevice(r.grid, account, node, d)
	if err != nil {
		return nil, err
	}
	return data, r.added("add device", data)
}

// RemoveDevice signs as of now that a node belongs to the account no longer, adds that, and returns it. It returns
// share.ErrNotFound, wrapped, when the node does not belong to the account.
func (r *Roster) RemoveDevice(account Account, id share.ServerID, now time.Time) ([]byte, error) {
	m, ok := r.AccountOf(id, now)
	if !ok || m.Account != account.Key() {
		return nil, fmt.Errorf("remove device: peer %s of account %s: %w", id.Short(), account.Key().Short(), share.ErrNotFound)
	}
	key, err := nodeKey(id)
	if err != nil {
		return nil, fmt.Errorf("remove device: %w", err)
	}
	d := Device{ID: id, Issued: now, Seq: r.nextSeq(slot{KindDevice, account.Key(), [32]byte(key)}, now)}
	for _, held := range m.Devices {
		if held.ID == id {
			d.Name = held.Name
		}
	}
	data, err := SignRemoval(r.grid, account, d)
	if err != nil {
		return nil, err
	}
	return data, r.added("remove device", data)
}
