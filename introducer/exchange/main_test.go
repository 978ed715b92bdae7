package exchange_test

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"cairn/internal/membertest"
	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/p2p"
	"cairn/p2p/wire"
	"cairn/share"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ipfs/go-log/v2/writer.(*MirrorWriter).logRoutine"))
}

// A grid is a private grid, with the roster that its founder has.
type grid struct {
	t       *testing.T
	desc    introducer.Descriptor
	founder introducer.Signer
	roster  *introducer.Roster
}

func found(t *testing.T) *grid {
	t.Helper()
	g := membertest.Found(t)
	return &grid{t: t, desc: g.Descriptor, founder: g.Founder, roster: g.Roster}
}

// A node is one node of one person.
type node struct {
	t       *testing.T
	name    string
	account introducer.Account
	key     crypto.PrivKey
	id      share.ServerID
	roster  *introducer.Roster
	host    *p2p.Host
	x       *exchange.Exchange
}

// newcomer is a person with a node who belongs to nothing.
func (g *grid) newcomer(name string) *node {
	g.t.Helper()
	key, id := membertest.Node(g.t)
	return &node{t: g.t, name: name, account: introducer.NewAccount(), key: key, id: id, roster: introducer.NewRoster(g.desc)}
}

// grant is a grant for the node's owner.
func (n *node) grant() introducer.Grant {
	return introducer.Grant{Account: n.account.Key(), Nickname: n.name}
}

// join makes the node that of a member whom the signer vouches for, by the roster of whoever holds the signer.
func (g *grid) join(n *node, signer introducer.Signer, by *introducer.Roster, grant introducer.Grant) *node {
	g.t.Helper()
	membertest.Vouch(g.t, by, signer, grant)
	if _, err := n.roster.Add(by.Statements()...); err != nil {
		g.t.Fatal(err)
	}
	membertest.Device(g.t, n.roster, n.account, n.key, "laptop")
	if _, err := by.Add(n.roster.Statements()...); err != nil {
		g.t.Fatal(err)
	}
	return n
}

// member is a newcomer for whom the founder vouched.
func (g *grid) member(name string) *node {
	n := g.newcomer(name)
	return g.join(n, g.founder, g.roster, n.grant())
}

// up starts the node's host.
func (n *node) up() *node {
	n.t.Helper()
	n.host = membertest.Open(n.t, p2p.Config{Key: n.key, Self: func() wire.Hello { return wire.Hello{Nickname: n.name} }}, n.roster)
	var err error
	if n.x, err = exchange.New(exchange.Config{Host: n.host, Roster: n.roster}); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.down)
	return n
}

func (n *node) down() {
	n.t.Helper()
	if err := n.x.Close(); err != nil {
		n.t.Error(err)
	}
	if err := n.host.Close(); err != nil {
		n.t.Error(err)
	}
}

// sees reports whether the node is connected to the other, which answers.
func (n *node) sees(other *node) bool {
	p, _ := n.host.Peer(other.id)
	return p.Responsive && p.Path != ""
}

func (n *node) digest() [32]byte { return n.roster.Digest() }

func eventually(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	return waittest.Eventually(t, what, holds)
}

func newExchange(h *p2p.Host, r *introducer.Roster) (*exchange.Exchange, error) {
	return exchange.New(exchange.Config{Host: h, Roster: r})
}
