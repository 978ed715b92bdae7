package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cairn/introducer"
	"cairn/introducer/exchange"
	"cairn/introducer/message"
	"cairn/p2p"
	"cairn/p2p/discovery"
	"cairn/share"
)

var (
	_ exchange.Values     = (*discovery.Discovery)(nil)
	_ discovery.Validator = exchange.Judge{}
)

type record struct {
	Statements [][]byte `cbor:"1,keyasint"`
}

// table is a DHT of one value, which keeps what its judge lets pass.
type table struct {
	judge exchange.Judge

	mu    sync.Mutex
	value []byte
}

func (d *table) PutValue(_ context.Context, _, name string, value []byte) error {
	if err := d.judge.Validate(name, value); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.value == nil || d.judge.Newer(name, value, d.value) {
		d.value = value
	}
	return nil
}

func (d *table) GetValue(context.Context, string, string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.value == nil {
		return nil, share.ErrNotFound
	}
	return d.value, nil
}

func TestRecordHoldsTheRoster(t *testing.T) {
	g := found(t)
	a, bad := g.member("ann"), g.member("bad")
	if _, err := a.roster.Add(bad.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	if _, err := a.roster.Revoke(g.founder, bad.account.Key(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	value, err := exchange.NewRecord(a.roster)
	if err != nil {
		t.Fatal(err)
	}
	if err := (exchange.Judge{Roster: bad.roster}).Validate(exchange.RecordName, value); err != nil {
		t.Error(err)
	}
	var rec record
	if err := message.Unmarshal(value, &rec); err != nil {
		t.Fatal(err)
	}
	fresh := introducer.NewRoster(g.desc)
	if _, err := fresh.Add(rec.Statements...); err != nil || fresh.Digest() != a.roster.Digest() {
		t.Errorf("what the record holds is another roster: %v", err)
	}
}

// TestRecordOfALargeRoster: what does not fit is left out, revocations last.
func TestRecordOfALargeRoster(t *testing.T) {
	g := found(t)
	x := g.newcomer("introducer")
	grant := x.grant()
	grant.Introducer = true
	g.join(x, g.founder, g.roster, grant)
	signer := x.account.Signer(g.desc)
	var list [][]byte
	var accounts []introducer.AccountKey
	for i := range 600 {
		account := introducer.NewAccount().Key()
		data, err := signer.SignGrant(introducer.Grant{Account: account, Nickname: fmt.Sprint("member", i), Issued: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		list, accounts = append(list, data), append(accounts, account)
	}
	if _, err := x.roster.Add(list...); err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts[:20] {
		if _, err := x.roster.Revoke(signer, account, "", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	value, err := exchange.NewRecord(x.roster)
	if err != nil {
		t.Fatal(err)
	}
	if len(value) > exchange.MaxRecord {
		t.Errorf("the record has %d bytes", len(value))
	}
	if err := (exchange.Judge{Roster: g.roster}).Validate(exchange.RecordName, value); err != nil {
		t.Fatal(err)
	}
	var rec record
	if err := message.Unmarshal(value, &rec); err != nil {
		t.Fatal(err)
	}
	other := introducer.NewRoster(g.desc)
	if _, err := other.Add(append(list, rec.Statements...)...); err != nil {
		t.Fatal(err)
	}
	for i, account := range accounts[:20] {
		if m, known := other.Member(account, time.Now()); !known || m.State != introducer.StateRevoked {
			t.Errorf("revocation %d is not in the record: %+v", i, m)
		}
	}
}

func TestJudgeRefuses(t *testing.T) {
	g, other := found(t), found(t)
	x := g.newcomer("introducer")
	grant := x.grant()
	grant.Introducer = true
	g.join(x, g.founder, g.roster, grant)
	ann := g.member("ann")
	signed, err := x.account.Signer(g.desc).SignGrant(introducer.Grant{
		Account: introducer.NewAccount().Key(), Nickname: "friend", Issued: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	without, err := ann.account.Signer(g.desc).SignGrant(introducer.Grant{
		Account: introducer.NewAccount().Key(), Nickname: "friend", Issued: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	pack := func(list ...[]byte) []byte {
		list = slices.Clone(list)
		slices.SortFunc(list, bytes.Compare)
		data, err := message.Marshal(record{Statements: list}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	all := g.roster.Statements()
	good := pack(append(all, signed)...)
	judge := exchange.Judge{Roster: g.roster}
	if err := judge.Validate(exchange.RecordName, good); err != nil {
		t.Fatal(err)
	}
	backwards, err := message.Marshal(record{Statements: [][]byte{{2}, {1}}}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"garbage": {1, 2}, "out of order": backwards, "another grid": pack(other.member("bob").roster.Statements()...),
		"no authority": pack(append(all, without)...), "without the chain": pack(signed), "twice": pack(append(all, all[0])...),
	} {
		if err := judge.Validate(exchange.RecordName, value); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := judge.Validate("other", good); !errors.Is(err, share.ErrDenied) {
		t.Errorf("another name: %v", err)
	}
	if _, err := g.roster.Revoke(g.founder, x.account.Key(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := judge.Validate(exchange.RecordName, good); !errors.Is(err, share.ErrDenied) {
		t.Errorf("with statements of an introducer that is revoked: %v", err)
	}
	now, err := exchange.NewRecord(g.roster)
	if err != nil {
		t.Fatal(err)
	}
	if !judge.Newer("", now, good) || judge.Newer("", good, now) || judge.Newer("", now, now) {
		t.Error("the copy with the revocation does not replace the other one")
	}
}

// TestRevocationThroughTheDHT: a node that meets nobody learns from the DHT, and another one puts what it knows there.
func TestRevocationThroughTheDHT(t *testing.T) {
	g := found(t)
	bad := g.member("bad")
	ann, bob := g.member("ann"), g.member("bob")
	dht := &table{judge: exchange.Judge{Roster: g.roster}}
	start := func(n *node) {
		t.Helper()
		var err error
		if n.host, err = p2p.Open(t.Context(), p2p.Config{
			Key: n.key, Grid: g.desc.ID(), Listen: p2p.LoopbackAddresses(0), Gate: n.roster,
		}); err != nil {
			t.Fatal(err)
		}
		if n.x, err = exchange.New(exchange.Config{
			Host: n.host, Roster: n.roster, Values: dht, Every: 100 * time.Millisecond,
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.down)
	}
	start(ann)
	start(bob)
	if _, err := ann.roster.Revoke(g.founder, bad.account.Key(), "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node hears of it", func() bool { return bob.roster.Admit(bad.id) != nil })
	if ann.sees(bob) {
		t.Error("the nodes met; the test shows nothing")
	}
}
