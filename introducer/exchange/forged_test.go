package exchange_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/p2p/wire"
)

// The messages of roster/1, as docs/protocol.md has them.
type (
	digests struct {
		Digest  []byte `cbor:"1,keyasint"`
		Buckets []byte `cbor:"2,keyasint,omitempty"`
	}
	batch struct {
		Wanted     []byte   `cbor:"1,keyasint,omitempty"`
		Statements [][]byte `cbor:"2,keyasint,omitempty"`
		More       bool     `cbor:"3,keyasint,omitempty"`
	}
)

const limit = 64 << 10

// TestForgedStatements: a member sends what nobody signed, what somebody without authority signed, and what breaks the protocol.
func TestForgedStatements(t *testing.T) {
	g, other := found(t), found(t)
	victim, liar := g.member("victim"), g.member("liar")
	victim.up()
	host, err := p2p.Open(t.Context(), p2p.Config{
		Key: liar.key, Grid: g.desc.ID(), Listen: p2p.LoopbackAddresses(0), Gate: liar.roster, Self: func() wire.Hello { return wire.Hello{} },
		Bootstrap: victim.host.Addresses(), DialTimeout: waittest.Patience, AnswerWithin: waittest.Patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if _, err := victim.roster.Add(liar.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "met", func() bool { p, _ := host.Peer(victim.id); return p.Responsive })
	before := victim.digest()

	all := bytes.Repeat([]byte{0xff}, 32)
	grant := introducer.Grant{Account: introducer.NewAccount().Key(), Nickname: "stranger", Issued: time.Now()}
	bySelf, err := liar.account.Signer(g.desc).SignGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	byOther, err := other.founder.SignGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := g.founder.SignGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	forged = bytes.Clone(forged)
	forged[len(forged)-1] ^= 1
	unknown := digests{Digest: make([]byte, 32)}
	for name, messages := range map[string][]any{
		"by a member":           {unknown, batch{Wanted: all, Statements: [][]byte{bySelf}}},
		"by another grid":       {unknown, batch{Wanted: all, Statements: [][]byte{byOther}}},
		"forged":                {unknown, batch{Wanted: all, Statements: [][]byte{forged}}},
		"garbage":               {unknown, batch{Wanted: all, Statements: [][]byte{{1, 2, 3}}}},
		"too large":             {unknown, batch{Wanted: all, Statements: [][]byte{make([]byte, introducer.MaxStatement+1)}}},
		"empty":                 {unknown, batch{Wanted: all, Statements: [][]byte{{}}}},
		"nothing wanted":        {unknown, batch{}},
		"wanted by half":        {unknown, batch{Wanted: all[:16]}},
		"wanted twice":          {unknown, batch{Wanted: all, More: true}, batch{Wanted: all}},
		"never ends":            {unknown, batch{Wanted: all, More: true}},
		"digest by half":        {digests{Digest: all[:16]}},
		"buckets by half":       {digests{Digest: all, Buckets: all}},
		"another message":       {unknown, unknown},
		"nothing":               {},
		"statements come first": {batch{Statements: [][]byte{bySelf}}},
	} {
		s, err := host.Stream(t.Context(), victim.id, "roster/1")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.SetDeadline(time.Now().Add(waittest.Patience))
		for _, m := range messages {
			if err := message.Write(s, m, limit); err != nil {
				t.Logf("%s: %v", name, err)
			}
		}
		s.CloseWrite()
		io.Copy(io.Discard, s)
		s.Reset()
	}
	if victim.digest() != before {
		t.Error("the roster changed")
	}
	// The liar did not harm the member's exchange with others.
	late := g.member("late")
	late.up()
	late.host.Learn(victim.host.Addresses()...)
	eventually(t, "an honest member is heard", func() bool { return victim.roster.Admit(late.id) == nil && victim.sees(late) })
}
