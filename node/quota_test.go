package node

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/introducer"
	"cairn/node/config"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/memory"
	"cairn/share/storetest"
)

// A private grid of people with one or more nodes each, as a roster has it.
type private struct {
	t       *testing.T
	roster  *introducer.Roster
	founder introducer.Signer
	people  map[string]introducer.Account
	keys    map[share.ServerID]crypto.PrivKey
	now     time.Time
}

func newPrivate(t *testing.T) *private {
	t.Helper()
	grid, key, err := introducer.Found("river friends", share.Params{}, false, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	founder, err := introducer.GridSigner(grid, key)
	if err != nil {
		t.Fatal(err)
	}
	return &private{
		t: t, roster: introducer.NewRoster(grid), founder: founder, people: map[string]introducer.Account{},
		keys: map[share.ServerID]crypto.PrivKey{}, now: time.Now(),
	}
}

// person makes a member with some nodes, and returns their ids.
func (p *private) person(nickname string, quota int64, nodes int) []share.ServerID {
	p.t.Helper()
	a := introducer.NewAccount()
	p.people[nickname] = a
	if _, err := p.roster.Vouch(p.founder, introducer.Grant{Account: a.Key(), Nickname: nickname, Quota: quota}, p.now); err != nil {
		p.t.Fatal(err)
	}
	var ids []share.ServerID
	for range nodes {
		ids = append(ids, p.device(nickname))
	}
	return ids
}

func (p *private) device(nickname string) share.ServerID {
	p.t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	d := introducer.Device{ID: share.ServerID(id.String()), Name: "node"}
	if _, err := p.roster.AddDevice(p.people[nickname], key, d, p.now); err != nil {
		p.t.Fatal(err)
	}
	return d.ID
}

// quota returns that of a node which lends as much as each of the peers.
func (p *private) quota(self share.ServerID, store share.Accounter, offers int64, peers ...share.ServerID) *quota {
	return &quota{
		self: self, store: store, accounts: rosterAccounts{p.roster}, params: func() share.Params { return share.Params{Needed: 3, Happy: 7, Total: 10} },
		space: func(context.Context) share.Space { return share.Space{Offered: offers} },
		peers: func() []p2p.Peer {
			var all []p2p.Peer
			for _, id := range peers {
				all = append(all, p2p.Peer{ID: id, Storage: true, Space: share.Space{Offered: offers}})
			}
			return all
		},
	}
}

func wantStanding(t *testing.T, q *quota, peer share.ServerID, want share.Standing) {
	t.Helper()
	if got, err := q.Standing(t.Context(), peer); err != nil || got != want {
		t.Errorf("standing %+v, %v; want %+v", got, err, want)
	}
}

// TestQuotaOfPeople counts all nodes of a person together, in proportion to what they lend, and lets the owner of a disk use it.
func TestQuotaOfPeople(t *testing.T) {
	const gb = 1_000_000_000
	p := newPrivate(t)
	alice, bob, carol := p.person("alice", 0, 2), p.person("bob", 0, 2), p.person("carol", 5*gb, 1)
	store := memory.New(memory.Options{})
	q := p.quota(alice[0], store, 100*gb, alice[1], bob[0], bob[1])
	f := storetest.NewFile(t, 1, 1, 3, 4096, 50_000)
	for i, owner := range []share.ServerID{bob[0], bob[1], alice[1]} {
		if err := f.Put(t.Context(), store, share.Number(i), string(owner)); err != nil {
			t.Fatal(err)
		}
	}
	one := 3 * int64(len(f.Share(0)))
	// Bob lends 200 GB and is entitled to as much; Alice lends all there is besides, half of it here.
	wantStanding(t, q, bob[0], share.Standing{Used: 2 * one, Limit: 200 * gb})
	wantStanding(t, q, bob[1], share.Standing{Used: 2 * one, Limit: 200 * gb})
	wantStanding(t, q, carol[0], share.Standing{Limit: 5 * gb / 2})
	wantStanding(t, q, alice[1], share.Standing{Used: one, Limit: share.NoLimit})

	// A node that was removed answers for what it has stored.
	if _, err := p.roster.RemoveDevice(p.people["bob"], bob[1], time.Now()); err != nil {
		t.Fatal(err)
	}
	q.last = look{}
	wantStanding(t, q, bob[0], share.Standing{Used: 2 * one, Limit: 100 * gb})
	if s, err := q.Standing(t.Context(), bob[1]); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a node that was removed stands %+v, %v", s, err)
	}
	if s, err := q.Standing(t.Context(), "nobody"); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a stranger stands %+v, %v", s, err)
	}
	settings := introducer.Settings{Policy: introducer.Policy{Kind: introducer.Unlimited}}
	if _, err := p.roster.Configure(p.founder, settings, time.Now()); err != nil {
		t.Fatal(err)
	}
	wantStanding(t, q, bob[0], share.Standing{Used: 2 * one, Limit: share.NoLimit})
	wantStanding(t, q, carol[0], share.Standing{Limit: 5 * gb * 2 / 3})
}

// TestQuotaOfNode limits and refuses members as the owner of the node says, never the owner.
func TestQuotaOfNode(t *testing.T) {
	p := newPrivate(t)
	alice, bob, carol, dave := p.person("alice", 0, 2), p.person("bob", 0, 1), p.person("carol", 0, 1), p.person("dave", 1000, 1)
	q := p.quota(alice[0], memory.New(memory.Options{}), 1<<30, alice[1], bob[0], carol[0], dave[0])
	for _, c := range []struct {
		limits     []string
		deny       []string
		bob, carol int64 // -2: refused
	}{
		{nil, nil, 1 << 29, 1 << 29},
		{[]string{"BOB=1MiB"}, nil, 1 << 20, 1 << 29},
		{[]string{"*=1KiB", "bob=1MiB"}, nil, 1 << 20, 1 << 10},
		{[]string{string(bob[0]) + "=1MiB"}, nil, 1 << 20, 1 << 29},
		{[]string{p.people["bob"].Key().String() + "=0"}, nil, 0, 1 << 29},
		{[]string{"bob=1TiB"}, nil, 1 << 29, 1 << 29},
		{[]string{"alice=1KiB"}, []string{"alice"}, 1 << 29, 1 << 29},
		{nil, []string{"bob"}, -2, 1 << 29},
		{nil, []string{string(carol[0]), p.people["bob"].Key().String()}, -2, -2},
	} {
		q.limits, q.deny = config.Storage{Limits: c.limits}.MemberLimits(), c.deny
		for _, who := range []struct {
			id    share.ServerID
			limit int64
		}{{alice[0], share.NoLimit}, {alice[1], share.NoLimit}, {bob[0], c.bob}, {carol[0], c.carol}} {
			got, err := q.Standing(t.Context(), who.id)
			if who.limit == -2 {
				if !errors.Is(err, share.ErrDenied) || errors.Is(err, share.ErrQuota) || !strings.Contains(err.Error(), "stores nothing for") {
					t.Errorf("limits %v, deny %v: %v", c.limits, c.deny, err)
				}
				continue
			}
			// By the policy it is half of what bob and carol lend: 2 · 1 GiB · 1/4.
			if err != nil || got.Limit != who.limit {
				t.Errorf("limits %v, deny %v: limit %d, %v; want %d", c.limits, c.deny, got.Limit, err, who.limit)
			}
		}
	}
}
