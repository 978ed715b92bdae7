package introducer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cairn/introducer"
	"cairn/share"
)

func TestRevokeKeepsTheOthers(t *testing.T) {
	w := newWorld(t)
	r := w.roster(
		w.grant("", "anna", introduces), w.grant("anna", "bob", introduces, w.until(9)), w.grant("bob", "carl"),
		w.grant("anna", "dora"), w.grant("anna", "eve", w.issued(-5), w.until(-3)), w.grant("", "finn", introduces),
		w.grant("finn", "mallory"), w.device("mallory", "m1"), w.device("bob", "b1"), w.grant("anna", "gone"))
	if _, err := r.Add(w.revoke("anna", "mallory"), w.revoke("anna", "gone")); err != nil {
		t.Fatal(err)
	}
	statements, err := r.Revoke(w.founder, key("anna"), "moved away", w.now)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"anna": "revoked", "bob": "member", "carl": "member", "dora": "member", "eve": "expired", "finn": "member",
		"mallory": "revoked", "gone": "revoked",
	} {
		if got := state(r, name, w.now); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	bob, _ := r.Member(key("bob"), w.now)
	if !bob.Introducer || !bob.Expires.Equal(w.at(9)) || !bob.GrantedBy.IsZero() || bob.Nickname != "bob" {
		t.Errorf("bob's grant became %+v", bob.Granted)
	}
	// Who was away gets the same from the statements alone.
	away := w.roster(w.grant("", "anna", introduces), w.grant("anna", "bob", introduces), w.grant("bob", "carl"), w.grant("", "finn", introduces))
	if _, err := away.Add(statements...); err != nil {
		t.Fatal(err)
	}
	if got := state(away, "carl", w.now); got != "member" {
		t.Errorf("carl is %s where the statements arrived", got)
	}
}

func TestRevokeWithTheirs(t *testing.T) {
	w := newWorld(t)
	statements := [][]byte{
		w.grant("", "anna", introduces), w.grant("anna", "bob", introduces), w.grant("bob", "carl", introduces),
		w.grant("carl", "dora"), w.grant("carl", "eve", w.issued(-5), w.until(-3)), w.grant("", "finn", introduces),
		w.grant("finn", "gina"), w.grant("carl", "gina", w.issued(-1)), w.grant("anna", "hugo"), w.revoke("carl", "gone"), w.grant("finn", "gone"),
	}
	r := w.roster(statements...)
	var branch []string
	for _, m := range r.Branch(key("bob"), w.now) {
		branch = append(branch, m.Nickname)
	}
	if got := strings.Join(branch, " "); got != "carl dora eve" && got != "carl eve dora" {
		t.Errorf("bob let in %q", got)
	}
	made, err := r.RevokeWithTheirs(w.signer("anna"), key("bob"), "a bad lot", w.now)
	if err != nil {
		t.Fatal(err)
	}
	away := w.roster(statements...)
	if _, err := away.Add(made...); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"anna": "member", "bob": "revoked", "carl": "revoked", "dora": "revoked", "eve": "revoked", "finn": "member",
		"gina": "member", "hugo": "member",
	} {
		for where, r := range map[string]*introducer.Roster{"here": r, "where the statements arrived": away} {
			if got := state(r, name, w.now); got != want {
				t.Errorf("%s is %s %s, want %s", name, got, where, want)
			}
		}
	}
	if _, err := r.RevokeWithTheirs(w.signer("finn"), key("anna"), "", w.now); !errors.Is(err, share.ErrDenied) {
		t.Errorf("finn revokes anna and hers: %v", err)
	}
}

func TestRevokeRefuses(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob", introduces), w.grant("bob", "carl", introduces), w.grant("", "dora"))
	for _, c := range []struct {
		by, whom, words string
		kind            error
	}{
		{"anna", "bob", "as close to the grid's key", share.ErrDenied},
		{"carl", "anna", "as close to the grid's key", share.ErrDenied},
		{"dora", "carl", "no introducer", share.ErrDenied},
		{"stranger", "carl", "no introducer", share.ErrDenied},
		{"", "stranger", "not found", share.ErrNotFound},
	} {
		_, err := r.Revoke(w.signer(c.by), key(c.whom), "", w.now)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%q revokes %s: error %v, want one that says %q", c.by, c.whom, err, c.words)
		}
	}
	if _, err := r.Revoke(w.signer("anna"), key("carl"), "", w.now); err != nil {
		t.Errorf("anna revokes carl: %v", err)
	}
	if _, err := r.Revoke(w.founder, key("carl"), "", w.now); !errors.Is(err, share.ErrDenied) {
		t.Errorf("carl is revoked twice: %v", err)
	}
	if _, err := r.Revoke(w.founder, key("bob"), strings.Repeat("x", 201), w.now); err == nil {
		t.Error("a reason of 201 bytes was taken")
	}
}

func TestVouchRefuses(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob"), w.grant("", "carl"), w.revoke("", "carl"))
	for name, c := range map[string]struct {
		signer introducer.Signer
		grant  introducer.Grant
		words  string
	}{
		"a plain member":         {w.signer("bob"), introducer.Grant{Account: key("x"), Nickname: "x"}, "no introducer"},
		"a stranger":             {w.signer("y"), introducer.Grant{Account: key("x"), Nickname: "x"}, "no introducer"},
		"a revoked account":      {w.founder, introducer.Grant{Account: key("carl"), Nickname: "new"}, "it stays so"},
		"another grid's key":     {other.founder, introducer.Grant{Account: key("x"), Nickname: "x"}, "of another grid than"},
		"oneself":                {w.signer("anna"), introducer.Grant{Account: key("anna"), Nickname: "anna"}, "closer"},
		"one who is closer":      {w.signer("anna"), introducer.Grant{Account: key("bob"), Nickname: "bob"}, "closer"},
		"nobody":                 {w.founder, introducer.Grant{Nickname: "x"}, "no account"},
		"a nickname that clears": {w.founder, introducer.Grant{Account: key("x"), Nickname: "x\x1b[2J"}, "does not print"},
		"no nickname":            {w.founder, introducer.Grant{Account: key("x")}, "nickname is empty"},
		"a negative quota":       {w.founder, introducer.Grant{Account: key("x"), Nickname: "x", Quota: -1}, "quota"},
	} {
		held := r.Held()
		_, err := r.Vouch(c.signer, c.grant, w.now)
		if err == nil || !strings.Contains(err.Error(), c.words) || r.Held() != held {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.words)
		}
	}
}

func TestDevices(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna"), w.grant("", "bob"))
	for i := range introducer.MaxDevices {
		name := fmt.Sprint("a", i)
		if _, err := r.AddDevice(account("anna"), nodeKeyOf(name), introducer.Device{Name: name}, w.at(i-introducer.MaxDevices)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.AddDevice(account("anna"), nodeKeyOf("more"), introducer.Device{Name: "more"}, w.now); !errors.Is(err, share.ErrTooLarge) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := r.AddDevice(account("bob"), nodeKeyOf("a0"), introducer.Device{Name: "a0"}, w.at(-9)); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a device of two: %v", err)
	}
	if _, err := r.AddDevice(account("eve"), nodeKeyOf("e"), introducer.Device{Name: "e"}, w.now); !errors.Is(err, share.ErrDenied) {
		t.Errorf("a stranger's device: %v", err)
	}
	// One that was added elsewhere is taken, so that rosters agree, but the oldest ones count.
	if _, err := r.Add(w.deviceAt("anna", "more", -50, 1)); err != nil {
		t.Fatal(err)
	}
	last := nodeOf(fmt.Sprint("a", introducer.MaxDevices-1)) // the newest of all
	if err := r.Admit(last); err == nil || !strings.Contains(err.Error(), "no more count") {
		t.Errorf("the 33rd device: %v", err)
	}
	if _, err := r.RemoveDevice(account("anna"), nodeOf("a0"), w.now); err != nil {
		t.Fatal(err)
	}
	if err := r.Admit(last); err != nil {
		t.Errorf("after the removal of another: %v", err)
	}
	if err := r.Admit(nodeOf("a0")); err == nil {
		t.Error("a removed device is admitted")
	}
	if _, err := r.RemoveDevice(account("bob"), nodeOf("a1"), w.now); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("another account removes it: %v", err)
	}
	if _, err := r.RemoveDevice(account("anna"), last, w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddDevice(account("anna"), nodeKeyOf("a0"), introducer.Device{Name: "again"}, w.at(-20)); err != nil {
		t.Fatal(err) // with a clock that is behind
	}
	if err := r.Admit(nodeOf("a0")); err != nil {
		t.Errorf("after it was added again: %v", err)
	}
}

// TestBounds lets members and introducers add as much as they can.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna"))
	for i := range introducer.MaxClaims {
		if _, err := r.Add(w.removal("anna", fmt.Sprint("n", i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(t, r, w.removal("anna", "more", 1), share.ErrTooLarge, "named 128 devices")
	if _, err := r.Add(w.device("anna", "n0")); err != nil { // older than the removal
		t.Fatal(err)
	}

	for i := range introducer.MaxGrants + 1 {
		if _, err := r.Add(w.grant("", fmt.Sprint("i", i), introduces)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range introducer.MaxGrants {
		if _, err := r.Add(w.grant(fmt.Sprint("i", i), "bob")); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(t, r, w.grant(fmt.Sprint("i", introducer.MaxGrants), "bob"), share.ErrTooLarge, "16 others vouch")
	if _, err := r.Add(w.grant("", "bob")); err != nil {
		t.Errorf("the grid's key has always room: %v", err)
	}
}

// TestBoundOfBytes fills a roster: revocations and the grid's key have room beyond.
func TestBoundOfBytes(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob"))
	r.SetMaxBytes(500)
	if _, err := r.Add(w.device("anna", "a1")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, r, w.device("anna", "a2"), share.ErrTooLarge, "bytes")
	wantRefused(t, r, w.grant("anna", "carl"), share.ErrTooLarge, "bytes")
	if _, err := r.Add(w.removal("anna", "a1", 2), w.revoke("anna", "bob"), w.grant("", "carl"), w.revoke("", "anna")); err != nil {
		t.Error(err)
	}
}

// TestDepth makes a chain of introducers that is too long.
func TestDepth(t *testing.T) {
	w := newWorld(t)
	statements := [][]byte{w.grant("", "m1", introduces)}
	for i := 1; i < introducer.MaxDepth; i++ {
		statements = append(statements, w.grant(fmt.Sprint("m", i), fmt.Sprint("m", i+1), introduces))
	}
	r := w.roster(statements...)
	last := fmt.Sprint("m", introducer.MaxDepth)
	m, ok := r.Member(key(last), w.now)
	if !ok || m.Depth != introducer.MaxDepth || m.State != introducer.StateMember || m.Introducer {
		t.Errorf("the last member is %+v", m)
	}
	wantRefused(t, r, w.grant(last, "more"), share.ErrDenied, "no introducer")
}
