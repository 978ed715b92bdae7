// Package membertest founds private grids for tests and makes people members of them.
package membertest

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/internal/hosttest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/p2p"
	"cairn/share"
)

// A Grid is a private grid, with the roster that its founder has.
type Grid struct {
	introducer.Descriptor
	Founder introducer.Signer
	Roster  *introducer.Roster
}

// Found founds a private grid without members.
func Found(t testing.TB) Grid {
	t.Helper()
	desc, key, err := introducer.Found("river friends", share.Params{}, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := introducer.GridSigner(desc, key)
	if err != nil {
		t.Fatal(err)
	}
	return Grid{Descriptor: desc, Founder: signer, Roster: introducer.NewRoster(desc)}
}

// Vouch enters a grant by the signer.
func Vouch(t testing.TB, r *introducer.Roster, signer introducer.Signer, grant introducer.Grant) {
	t.Helper()
	if _, err := r.Vouch(signer, grant, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// Device enters a node as the account's.
func Device(t testing.TB, r *introducer.Roster, account introducer.Account, node crypto.PrivKey, name string) {
	t.Helper()
	if _, err := r.AddDevice(account, node, introducer.Device{Name: name}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// Node makes the identity of a node.
func Node(t testing.TB) (crypto.PrivKey, share.ServerID) {
	t.Helper()
	key := hosttest.Key(t)
	id, err := p2p.IDOf(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

// Open starts the host of a node on loopback, which admits whom the roster admits and shows its credentials.
func Open(t testing.TB, cfg p2p.Config, r *introducer.Roster) *p2p.Host {
	t.Helper()
	id, err := p2p.IDOf(cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Grid, cfg.Listen, cfg.Gate, cfg.Present = r.Grid().ID(), p2p.LoopbackAddresses(0), r, exchange.Present(r, id)
	h, err := p2p.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
