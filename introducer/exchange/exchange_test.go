package exchange_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cairn/internal/waittest"
	"cairn/introducer"
	"cairn/p2p"
	"cairn/share"
)

// TestAdmittedWithoutIntroducer: a member is admitted by another one that never heard of it, while nobody else is there.
func TestAdmittedWithoutIntroducer(t *testing.T) {
	waittest.Promptly(t, time.Second, "meeting", func() time.Duration { return admittedWithoutIntroducer(t) })
}

func admittedWithoutIntroducer(t *testing.T) (took time.Duration) {
	g := found(t)
	x := g.newcomer("introducer")
	grant := x.grant()
	grant.Introducer = true
	g.join(x, g.founder, g.roster, grant)
	old := g.member("old")
	if _, err := x.roster.Add(old.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	fresh := g.newcomer("fresh")
	g.join(fresh, x.account.Signer(g.desc), x.roster, fresh.grant())
	old.up()
	fresh.up()
	if old.roster.Admit(fresh.id) == nil || fresh.roster.Admit(old.id) != nil {
		t.Fatal("the test starts from the wrong rosters")
	}
	fresh.host.Learn(old.host.Addresses()...)
	took = eventually(t, "met", func() bool { return old.sees(fresh) && fresh.sees(old) })
	m, ok := old.roster.AccountOf(fresh.id, time.Now())
	if !ok || m.Nickname != "fresh" || m.GrantedBy != x.account.Key() {
		t.Errorf("what the old member knows: %+v, %v", m, ok)
	}
	eventually(t, "the rosters agree", func() bool { return old.digest() == fresh.digest() })
	if _, err := old.host.Stream(t.Context(), fresh.id, "hello/1"); err != nil {
		t.Errorf("the other way: %v", err)
	}
	return took
}

// TestChangeReachesEverybody: five members in a row learn of a sixth from the one in the middle.
func TestChangeReachesEverybody(t *testing.T) {
	g := found(t)
	var nodes []*node
	for i := range 5 {
		nodes = append(nodes, g.member(fmt.Sprint("member", i)).up())
		if i > 0 {
			nodes[i].host.Learn(nodes[i-1].host.Addresses()...)
		}
	}
	eventually(t, "all agree", func() bool { return agree(nodes) })
	late := g.member("late")
	if _, err := nodes[2].roster.Add(late.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "all know the newcomer", func() bool {
		for _, n := range nodes {
			if n.roster.Admit(late.id) != nil {
				return false
			}
		}
		return agree(nodes)
	})
	t.Logf("five members knew after %v", took)
}

func agree(nodes []*node) bool {
	for _, n := range nodes {
		if n.digest() != nodes[0].digest() {
			return false
		}
	}
	return true
}

// TestPartitionHeals: one half revokes a member, the other half takes in another one; then they meet.
func TestPartitionHeals(t *testing.T) {
	g := found(t)
	x := g.newcomer("introducer")
	grant := x.grant()
	grant.Introducer = true
	g.join(x, g.founder, g.roster, grant)
	a, b, bad := g.member("ann"), g.member("bob"), g.member("bad")
	everything := append(a.roster.Statements(), append(b.roster.Statements(), append(bad.roster.Statements(), x.roster.Statements()...)...)...)
	for _, n := range []*node{a, b, bad, x} {
		if _, err := n.roster.Add(everything...); err != nil {
			t.Fatal(err)
		}
		n.up()
	}
	a.host.Learn(b.host.Addresses()...)
	x.host.Learn(bad.host.Addresses()...)
	eventually(t, "both halves met", func() bool { return a.sees(b) && x.sees(bad) && bad.sees(x) })

	if _, err := a.roster.Revoke(g.founder, bad.account.Key(), "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	carl := g.newcomer("carl")
	g.join(carl, x.account.Signer(g.desc), x.roster, carl.grant())
	carl.up()
	carl.host.Learn(x.host.Addresses()...)
	eventually(t, "each half has its news", func() bool {
		return b.roster.Admit(bad.id) != nil && bad.roster.Admit(carl.id) == nil && x.roster.Admit(bad.id) == nil
	})
	if b.roster.Admit(carl.id) == nil || carl.roster.Admit(bad.id) != nil {
		t.Fatal("news crossed the partition")
	}

	x.host.Learn(a.host.Addresses()...)
	good := []*node{a, b, x, carl}
	eventually(t, "the rosters agree", func() bool { return agree(good) })
	for _, n := range good {
		if err := n.roster.Admit(bad.id); !errors.Is(err, share.ErrDenied) || !strings.Contains(err.Error(), "a test") {
			t.Errorf("%s on the revoked member: %v", n.name, err)
		}
		if err := n.roster.Admit(carl.id); err != nil {
			t.Errorf("%s on the new member: %v", n.name, err)
		}
	}
	eventually(t, "the revoked member is out", func() bool { return !x.sees(bad) && !carl.sees(bad) })
}

// TestRevokedDuringTransfer: the revocation reaches a node that is just serving the member.
func TestRevokedDuringTransfer(t *testing.T) {
	waittest.Promptly(t, 2*time.Second, "ending the transfer", func() time.Duration { return revokedDuringTransfer(t) })
}

func revokedDuringTransfer(t *testing.T) (took time.Duration) {
	g := found(t)
	a, b, bad := g.member("ann"), g.member("bob"), g.member("bad")
	for _, n := range []*node{a, b, bad} {
		n.up()
	}
	a.host.Handle("flood/1", func(s p2p.Stream) {
		defer s.Reset()
		for data := make([]byte, 1<<16); ; {
			if _, err := s.Write(data); err != nil {
				return
			}
		}
	})
	// Each knows the founder's word on those before; the later ones show their credentials to the earlier ones.
	b.host.Learn(a.host.Addresses()...)
	bad.host.Learn(a.host.Addresses()...)
	eventually(t, "met", func() bool { return a.sees(b) && a.sees(bad) && bad.sees(a) && b.sees(a) })
	eventually(t, "agreed", func() bool { return agree([]*node{a, b, bad}) })
	s, err := bad.host.Stream(t.Context(), a.id, "flood/1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if _, err := io.CopyN(io.Discard, s, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := b.roster.Revoke(g.founder, bad.account.Key(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	s.SetReadDeadline(time.Now().Add(waittest.Patience))
	begin := time.Now()
	// The sender never ends it. Whether the reader sees a reset or the end of the connection is a matter of which is noticed first.
	n, err := io.Copy(io.Discard, s)
	took = time.Since(begin)
	t.Logf("the transfer ended after %v and %d bytes with %v", took, n, err)
	eventually(t, "it is out", func() bool { return !a.sees(bad) && !b.sees(bad) })
	if !a.sees(b) {
		t.Error("the members lost each other")
	}
	return took
}

// TestFailedExchangeIsTriedAgain: a change reaches a member with whom the first exchanges about it fail.
func TestFailedExchangeIsTriedAgain(t *testing.T) {
	g := found(t)
	a, b, late := g.member("ann"), g.member("bob"), g.member("late")
	a.up()
	b.up()
	b.host.Learn(a.host.Addresses()...)
	eventually(t, "met", func() bool { return a.sees(b) && b.sees(a) && agree([]*node{a, b}) })
	var fails atomic.Int64
	b.host.Handle("roster/1", func(s p2p.Stream) {
		fails.Add(1)
		s.Reset()
	})
	a.host.Handle("roster/1", func(s p2p.Stream) { s.Reset() }) // the other side cannot ask for it either
	if _, err := a.roster.Add(late.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an exchange has failed twice", func() bool { return fails.Load() >= 2 })
	again, err := newExchange(b.host, b.roster) // serves the protocol anew
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	eventually(t, "the change arrived", func() bool { return b.roster.Admit(late.id) == nil })
}

func TestExpiredMemberIsDropped(t *testing.T) {
	g := found(t)
	a, b := g.member("ann"), g.newcomer("brief")
	g.join(b, g.founder, g.roster, b.grant())
	a.up()
	b.up()
	b.host.Learn(a.host.Addresses()...)
	eventually(t, "met", func() bool { return a.sees(b) })
	grant, now := b.grant(), time.Now()
	grant.Expires = now.Add(3 * time.Second)
	if _, err := a.roster.Vouch(g.founder, grant, now); err != nil {
		t.Fatal(err)
	}
	eventually(t, "dropped after the membership ended", func() bool { return !a.sees(b) })
	if early := time.Until(grant.Expires); early > time.Second { // statements count in seconds
		t.Errorf("it was dropped %v before that", early)
	}
	if err := a.roster.Admit(b.id); !errors.Is(err, share.ErrDenied) {
		t.Errorf("an expired member: %v", err)
	}
}

// TestRevokedLearnsWhy: who was away while it was revoked is told, and gets nothing else.
func TestRevokedLearnsWhy(t *testing.T) {
	g := found(t)
	a, bad := g.member("ann"), g.member("bad")
	if _, err := a.roster.Add(bad.roster.Statements()...); err != nil {
		t.Fatal(err)
	}
	if _, err := a.roster.Revoke(g.founder, bad.account.Key(), "left the river", time.Now()); err != nil {
		t.Fatal(err)
	}
	a.up()
	bad.up()
	events, cancel := bad.host.Subscribe()
	defer cancel()
	bad.host.Learn(a.host.Addresses()...)
	timer := time.NewTimer(waittest.Patience)
	defer timer.Stop()
	for {
		select {
		case e := <-events:
			if e.Change == p2p.Refused {
				if !strings.Contains(e.Reason, "left the river") {
					t.Errorf("the revoked member is told %q", e.Reason)
				}
				eventually(t, "its own roster has the revocation", func() bool {
					err := bad.roster.Admit(bad.id)
					return err != nil && strings.Contains(err.Error(), "left the river")
				})
				return
			}
		case <-timer.C:
			t.Fatal("the revoked member is told nothing")
		}
	}
}

// TestWhoIsOutLearnsIt: a revocation reaches the node of whoever it concerns, also by somebody that the node has never heard of, and so
// does the removal of a device.
func TestWhoIsOutLearnsIt(t *testing.T) {
	g := found(t)
	ann, bad, phone := g.member("ann"), g.member("bad"), g.member("phone")
	x, late := g.newcomer("introducer"), g.newcomer("late")
	grant := x.grant()
	grant.Introducer = true
	g.join(x, g.founder, g.roster, grant)
	bert := g.newcomer("bert")
	g.join(bert, x.account.Signer(g.desc), x.roster, bert.grant())
	grant = late.grant()
	grant.Introducer = true
	g.join(late, g.founder, g.roster, grant)
	for _, n := range []*node{bad, phone, bert, late} {
		if _, err := ann.roster.Add(n.roster.Statements()...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ann.roster.Revoke(late.account.Signer(g.desc), bert.account.Key(), "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := ann.roster.Revoke(g.founder, bad.account.Key(), "a test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := ann.roster.RemoveDevice(phone.account, phone.id, time.Now()); err != nil {
		t.Fatal(err)
	}
	ann.up()
	for _, n := range []*node{bad, phone, bert} {
		if err := n.roster.Admit(n.id); err != nil {
			t.Fatal(err)
		}
		if _, known := n.roster.Member(late.account.Key(), time.Now()); known {
			t.Fatal("the test starts from the wrong rosters")
		}
		n.up()
		n.host.Learn(ann.host.Addresses()...)
		eventually(t, n.name+" knows that it is out", func() bool { return n.roster.Admit(n.id) != nil })
	}
}

// TestManyStatements: a roster larger than one message.
func TestManyStatements(t *testing.T) {
	g := found(t)
	a, b := g.member("ann"), g.member("bob")
	var list [][]byte
	for i := range 600 {
		data, err := g.founder.SignGrant(introducer.Grant{
			Account: introducer.NewAccount().Key(), Nickname: fmt.Sprint("member", i), Issued: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	if _, err := a.roster.Add(list[:350]...); err != nil {
		t.Fatal(err)
	}
	if _, err := b.roster.Add(list[250:]...); err != nil {
		t.Fatal(err)
	}
	a.up()
	b.up()
	begin := time.Now()
	b.host.Learn(a.host.Addresses()...)
	eventually(t, "the rosters agree", func() bool { return a.digest() == b.digest() })
	t.Logf("600 statements agreed after %v", time.Since(begin))
	if n := len(a.roster.Members(time.Now())); n != 602 {
		t.Errorf("%d members, want 602", n)
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := newExchange(nil, nil); err == nil {
		t.Error("an exchange without host and roster")
	}
}
