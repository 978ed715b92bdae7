// Package membertest founds private grids for tests and makes people members of them.
package membertest

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/internal/hosttest"
	"cairn/internal/waittest"
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

// Open starts the host of a node on loopback, which admits whom the roster admits and shows its credentials. It is as patient as
// the tests.
func Open(t testing.TB, cfg p2p.Config, r *introducer.Roster) *p2p.Host {
	t.Helper()
	id, err := p2p.IDOf(cfg.Key)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Grid, cfg.Listen, cfg.Gate, cfg.Present = r.Grid().ID(), p2p.LoopbackAddresses(0), r, exchange.Present(r, id)
	cfg.DialTimeout, cfg.AnswerWithin, cfg.StrangerFor = waittest.Patience, waittest.Patience, waittest.Patience
	h, err := p2p.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A Stranger is the host of a node that belongs to no grid yet, and as patient as the tests.
type Stranger struct{ *p2p.Host }

// OpenStranger starts the host of a stranger, which the test closes.
func OpenStranger(t testing.TB, key crypto.PrivKey) Stranger {
	t.Helper()
	host, err := p2p.OpenStranger(t.Context(), p2p.Config{
		Key: key, DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience, StrangerFor: waittest.Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return Stranger{host}
}

// Reach is that of the host. Limits of it and of libp2p are over after seconds: where this process stood still meanwhile, the attempt
// is made again. What a caller then sets for the stream ends later than it says, by the patience of the tests.
func (s Stranger) Reach(ctx context.Context, addresses []string, name string) (p2p.Stream, share.ServerID, error) {
	for begin := time.Now(); ; {
		var stream p2p.Stream
		var id share.ServerID
		var err error
		disturbed := waittest.Disturbed(func() { stream, id, err = s.Host.Reach(ctx, addresses, name) })
		if err == nil {
			return lasting{stream}, id, nil
		}
		if !disturbed || time.Since(begin) > waittest.Patience {
			return nil, "", err
		}
	}
}

type lasting struct{ p2p.Stream }

func (s lasting) SetDeadline(t time.Time) error {
	return s.Stream.SetDeadline(t.Add(waittest.Patience))
}
