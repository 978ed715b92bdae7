package introducer

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/share"
)

// A Device says that a node belongs to an account. The account and the node both sign it; a removal takes the account's
// signature alone.
type Device struct {
	Account AccountKey
	// ID is the id of a node with an Ed25519 key.
	ID   share.ServerID
	Name string
	// Issued decides between two accounts that claim one node: the older claim counts.
	Issued time.Time
	// Expires is when the claim ends unless a later statement renews it; zero is never.
	Expires time.Time
	// Seq orders the statements of one account about one node: the highest counts.
	Seq uint64
	// Removed takes the node away from the account.
	Removed bool
}

type wireDevice struct {
	Version int    `cbor:"1,keyasint"`
	Grid    []byte `cbor:"2,keyasint"`
	Account []byte `cbor:"4,keyasint"`
	Name    string `cbor:"5,keyasint"`
	Removed bool   `cbor:"6,keyasint,omitempty"`
	Node    []byte `cbor:"7,keyasint"`
	Issued  int64  `cbor:"8,keyasint"`
	Expires int64  `cbor:"9,keyasint,omitempty"`
	Seq     uint64 `cbor:"10,keyasint"`
}

func (d Device) validate() error {
	if d.Account.IsZero() {
		return errors.New("no account")
	}
	if d.Seq == 0 {
		return errors.New("the sequence number is 0")
	}
	if err := ValidNickname(d.Name); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return validTimes(d.Issued, d.Expires)
}

func (d Device) encoded(grid, node []byte) []byte {
	return encode(wireDevice{
		Version: statementVersion, Grid: grid, Account: d.Account[:], Name: d.Name, Removed: d.Removed, Node: node,
		Issued: unixOf(d.Issued), Expires: unixOf(d.Expires), Seq: d.Seq,
	})
}

func (s *Statement) decodeDevice() error {
	w, err := body(s, func(w *wireDevice) int { return w.Version })
	if err != nil {
		return err
	}
	account, err := accountOf(w.Account)
	if err != nil {
		return err
	}
	node, err := accountOf(w.Node)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	id, err := nodeID(node[:])
	if err != nil {
		return err
	}
	s.Issuer, s.subject = account, node
	s.Device = &Device{
		Account: account, ID: id, Name: w.Name, Removed: w.Removed,
		Issued: timeOf(w.Issued), Expires: timeOf(w.Expires), Seq: w.Seq,
	}
	return errors.Join(s.setGrid(w.Grid), s.Device.validate())
}

// nodeID returns the id of the node with this Ed25519 public key.
func nodeID(key []byte) (share.ServerID, error) {
	public, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return "", fmt.Errorf("node key: %w", err)
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("node key: %w", err)
	}
	return share.ServerID(id.String()), nil
}

// nodeKey returns the Ed25519 public key that a node's id contains.
func nodeKey(id share.ServerID) ([]byte, error) {
	p, err := peer.Decode(string(id))
	if err != nil {
		return nil, fmt.Errorf("node id %.80q: %w", string(id), err)
	}
	public, err := p.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("node id %s: %w", id.Short(), err)
	}
	if public.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("node id %s: its key is not Ed25519", id.Short())
	}
	return public.Raw()
}
