package introducer_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"cairn/introducer"
	"cairn/share"
)

// samples returns one statement of each kind, plain and with everything in it.
func samples(w *world) map[string][]byte {
	return map[string][]byte{
		"grant": w.grant("", "anna"),
		"full grant": must(w.signer("anna").SignGrant(introducer.Grant{
			Account: key("bob"), Nickname: strings.Repeat("ü", 32), Introducer: true, Quota: introducer.MaxQuota,
			Issued: w.now, Expires: w.at(1), Seq: 1<<64 - 1,
		})),
		"device": w.device("anna", "a1"),
		"full device": must(introducer.SignDevice(w.grid, account("anna"), nodeKeyOf("a1"),
			introducer.Device{Name: strings.Repeat("x", 64), Issued: w.now, Expires: w.at(1), Seq: 1<<64 - 1})),
		"removal":         w.removal("anna", "a1", 2),
		"revocation":      must(w.founder.SignRevocation(introducer.Revocation{Account: key("anna"), Issued: w.now})),
		"full revocation": must(w.signer("bob").SignRevocation(introducer.Revocation{Account: key("anna"), Reason: strings.Repeat("ü", 100), Issued: w.now})),
		"settings":        must(w.founder.SignSettings(introducer.Settings{Issued: w.now})),
		"full settings": must(w.signer("anna").SignSettings(introducer.Settings{
			Params: share.Params{Needed: 200, Happy: 255, Total: 256}, Lease: share.MaxLease, Issued: w.now, Seq: 1<<64 - 1,
			Policy: introducer.Policy{Percent: 400, Floor: introducer.MaxQuota},
		})),
		"contact": must(introducer.SignContact(w.grid, account("anna"), introducer.Contact{Card: "c", Issued: w.now})),
		"full contact": must(introducer.SignContact(w.grid, account("anna"), introducer.Contact{
			Card: strings.Repeat("~", introducer.MaxCard), Issued: w.now, Seq: 1<<64 - 1,
		})),
		"fixed": must(w.founder.SignSettings(introducer.Settings{Issued: w.now, Policy: introducer.Policy{Kind: introducer.Fixed, Quota: 5}})),
	}
}

func TestStatementsRoundTrip(t *testing.T) {
	w := newWorld(t)
	for name, data := range samples(w) {
		s, err := introducer.ParseStatement(w.grid, data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(s.Bytes(), data) || len(data) > 600 {
			t.Errorf("%s: %d bytes came back as %d", name, len(data), len(s.Bytes()))
		}
		var again []byte
		signer := w.founder
		for _, who := range []string{"anna", "bob"} {
			if s.Issuer == key(who) {
				signer = w.signer(who)
			}
		}
		switch {
		case s.Grant != nil:
			again = must(signer.SignGrant(*s.Grant))
		case s.Revocation != nil:
			again = must(signer.SignRevocation(*s.Revocation))
		case s.Settings != nil:
			again = must(signer.SignSettings(*s.Settings))
		case s.Contact != nil:
			again = must(introducer.SignContact(w.grid, account("anna"), *s.Contact))
		case s.Device.Removed:
			again = must(introducer.SignRemoval(w.grid, account("anna"), *s.Device))
		default:
			again = must(introducer.SignDevice(w.grid, account("anna"), nodeKeyOf("a1"), *s.Device))
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%s: what was read is signed as something else", name)
		}
	}
}

// TestEveryByteOfAStatementCounts flips a bit of each byte of each kind of statement.
func TestEveryByteOfAStatementCounts(t *testing.T) {
	w := newWorld(t)
	for name, data := range samples(w) {
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			_, err := introducer.ParseStatement(w.grid, bad)
			if err == nil {
				t.Fatalf("%s: byte %d does not count", name, i)
			}
			known := errors.Is(err, share.ErrCorrupt) || errors.Is(err, share.ErrDenied) || errors.Is(err, share.ErrVersion)
			if !known {
				t.Fatalf("%s: byte %d: %v wraps no error that says what to do", name, i, err)
			}
		}
	}
}

// TestSignaturesAreNotTransferable puts the signed body of each kind into a statement of another kind.
func TestSignaturesAreNotTransferable(t *testing.T) {
	w := newWorld(t)
	type envelope struct {
		Kind          uint8  `cbor:"1,keyasint"`
		Body          []byte `cbor:"2,keyasint"`
		Signature     []byte `cbor:"3,keyasint"`
		NodeSignature []byte `cbor:"4,keyasint,omitempty"`
	}
	mode := must(cbor.CoreDetEncOptions().EncMode())
	for name, data := range samples(w) {
		var e envelope
		if err := cbor.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(must(mode.Marshal(e)), data) {
			t.Fatalf("%s: this test does not know the envelope", name)
		}
		kind := e.Kind
		for other := range uint8(7) {
			if e.Kind = other; other != kind {
				if _, err := introducer.ParseStatement(w.grid, must(mode.Marshal(e))); err == nil {
					t.Errorf("%s: valid as kind %d", name, other)
				}
			}
		}
		e.Kind = kind
		if e.NodeSignature != nil { // the account's signature is not the node's, nor the other way round
			for _, swapped := range []envelope{
				{kind, e.Body, e.Signature, e.Signature},
				{kind, e.Body, e.NodeSignature, e.NodeSignature},
				{kind, e.Body, e.NodeSignature, e.Signature},
				{kind, e.Body, e.Signature, nil},
			} {
				if _, err := introducer.ParseStatement(w.grid, must(mode.Marshal(swapped))); err == nil {
					t.Errorf("%s: valid with signatures swapped", name)
				}
			}
		} else {
			e.NodeSignature = e.Signature
			if _, err := introducer.ParseStatement(w.grid, must(mode.Marshal(e))); err == nil {
				t.Errorf("%s: valid with a signature that does not belong there", name)
			}
		}
	}
}

// TestBodiesHaveOneForm signs a body with a number in a longer form than it needs.
func TestBodiesHaveOneForm(t *testing.T) {
	w := newWorld(t)
	var e struct {
		Kind      uint8  `cbor:"1,keyasint"`
		Body      []byte `cbor:"2,keyasint"`
		Signature []byte `cbor:"3,keyasint"`
	}
	if err := cbor.Unmarshal(w.grant("anna", "bob"), &e); err != nil {
		t.Fatal(err)
	}
	mode := must(cbor.CoreDetEncOptions().EncMode())
	parse := func() error {
		e.Signature = ed25519.Sign(ed25519.NewKeyFromSeed(account("anna").Seed()), append([]byte("cairn/v1/grant\x00"), e.Body...))
		_, err := introducer.ParseStatement(w.grid, must(mode.Marshal(e)))
		return err
	}
	if err := parse(); err != nil {
		t.Fatal(err)
	}
	e.Body = append([]byte{e.Body[0], 1, 0x18, 1}, e.Body[3:]...)
	if err := parse(); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

// TestGridKeyIsNoAccount vouches for the grid's key.
func TestGridKeyIsNoAccount(t *testing.T) {
	w := newWorld(t)
	data := must(w.signer("anna").SignGrant(introducer.Grant{
		Account: introducer.AccountKey(w.grid.Key()), Nickname: "grid", Issued: w.now,
	}))
	if _, err := introducer.ParseStatement(w.grid, data); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

func TestSignersRefuse(t *testing.T) {
	w := newWorld(t)
	old := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	sign := func(s introducer.Settings) error { _, err := w.founder.SignSettings(s); return err }
	device := func(d introducer.Device) error {
		_, err := introducer.SignDevice(w.grid, account("anna"), nodeKeyOf("a1"), d)
		return err
	}
	grant := func(g introducer.Grant) error { _, err := w.signer("anna").SignGrant(g); return err }
	revoke := func(r introducer.Revocation) error { _, err := w.signer("anna").SignRevocation(r); return err }
	good := introducer.Grant{Account: key("bob"), Nickname: "bob", Issued: w.now}
	with := func(f func(*introducer.Grant)) error { g := good; f(&g); return grant(g) }
	if err := grant(good); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"no issue date":      with(func(g *introducer.Grant) { g.Issued = time.Time{} }),
		"an old issue date":  with(func(g *introducer.Grant) { g.Issued = old }),
		"ends before it is":  with(func(g *introducer.Grant) { g.Expires = w.at(-1) }),
		"ends too late":      with(func(g *introducer.Grant) { g.Expires = w.now.AddDate(9000, 0, 0) }),
		"too large a quota":  with(func(g *introducer.Grant) { g.Quota = introducer.MaxQuota + 1 }),
		"for itself":         with(func(g *introducer.Grant) { g.Account = key("anna") }),
		"a long nickname":    with(func(g *introducer.Grant) { g.Nickname = strings.Repeat("a", 10_000) }),
		"a device unnamed":   device(introducer.Device{Issued: w.now}),
		"a device undated":   device(introducer.Device{Name: "x"}),
		"revokes itself":     revoke(introducer.Revocation{Account: key("anna"), Issued: w.now}),
		"revokes nobody":     revoke(introducer.Revocation{Issued: w.now}),
		"an escape sequence": revoke(introducer.Revocation{Account: key("bob"), Issued: w.now, Reason: "\x1b[2J"}),
		"a new line":         revoke(introducer.Revocation{Account: key("bob"), Issued: w.now, Reason: "a\nb"}),
		"half of params":     sign(introducer.Settings{Issued: w.now, Params: share.Params{Needed: 3}}),
		"a long lease":       sign(introducer.Settings{Issued: w.now, Lease: share.MaxLease + time.Second}),
		"half a second":      sign(introducer.Settings{Issued: w.now, Lease: time.Second / 2}),
		"a strange policy":   sign(introducer.Settings{Issued: w.now, Policy: introducer.Policy{Kind: 3}}),
		"a mixed policy":     sign(introducer.Settings{Issued: w.now, Policy: introducer.Policy{Kind: introducer.Fixed, Percent: 1}}),
		"a negative floor":   sign(introducer.Settings{Issued: w.now, Policy: introducer.Policy{Floor: -1}}),
	} {
		if err == nil {
			t.Errorf("%s: signed", name)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d characters", name, len(err.Error()))
		}
	}
	if _, err := (introducer.Signer{}).SignGrant(good); err == nil {
		t.Error("a signer without a key signs")
	}
	if _, err := introducer.GridSigner(newWorld(t).grid, nil); err == nil {
		t.Error("a signer without a key is a grid's")
	}
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		policy             introducer.Policy
		quota, lends, want int64
	}{
		{introducer.DefaultPolicy(), 0, 0, 1 << 30},
		{introducer.DefaultPolicy(), 0, 5 << 30, 5 << 30},
		{introducer.DefaultPolicy(), 7, 5 << 30, 7},
		{introducer.DefaultPolicy(), 0, 1<<63 - 1, introducer.MaxQuota},
		{introducer.DefaultPolicy(), 0, -5, 1 << 30},
		{introducer.Policy{Percent: 50}, 0, 1001, 500},
		{introducer.Policy{Percent: 400}, 0, introducer.MaxQuota, introducer.MaxQuota},
		{introducer.Policy{Kind: introducer.Fixed, Quota: 9}, 0, 1 << 40, 9},
		{introducer.Policy{Kind: introducer.Unlimited}, 0, 0, -1},
		{introducer.Policy{Kind: introducer.Unlimited}, 3, 0, 3},
	} {
		if got := c.policy.Allowance(c.quota, c.lends); got != c.want {
			t.Errorf("%+v: quota %d, lends %d: %d, want %d", c.policy, c.quota, c.lends, got, c.want)
		}
	}
}

func TestNicknameRules(t *testing.T) {
	for _, name := range []string{"anna", "Änna K.", "安娜", "anna 🦊", "o'neil", "e\u0301va", strings.Repeat("x", 64)} {
		if err := introducer.ValidNickname(name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{
		"", " ", " anna", "anna ", "an  na", "an\tna", "an\nna", "a\x00", "\x1b[31mred", "a\u00a0b", "a\u2003b", "a\u3000b", "a\u2800b",
		"a\u3164b", "\uffa0", "a\u200bb", "a\u200db", "a\u202eb", "\ufeffanna", "a\ufe0f", "\u0301", "a\xff", "\u115f", "a\u2028b",
		strings.Repeat("x", 65), strings.Repeat("ü", 10_000), "a\ufffdb", "\U000e0041",
	} {
		err := introducer.ValidNickname(name)
		if err == nil {
			t.Errorf("%q is a nickname", name)
			continue
		}
		if len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\x1b\n\x00") {
			t.Errorf("%.20q: the error %q repeats it", name, err)
		}
	}
}

func TestAccounts(t *testing.T) {
	a := introducer.NewAccount()
	if a.Key() == introducer.NewAccount().Key() {
		t.Fatal("two accounts with one key")
	}
	for name, parsed := range map[string]introducer.Account{
		"text": must(introducer.ParseAccount(a.Reveal())), "seed": must(introducer.AccountFromSeed(a.Seed())),
	} {
		if parsed != a || parsed.Key() != a.Key() {
			t.Errorf("%s: it came back as another account", name)
		}
	}
	if k := must(introducer.ParseAccountKey(a.Key().String())); k != a.Key() || len(k.Short()) != 8 {
		t.Errorf("the key came back as %s", k)
	}
	secret := strings.TrimPrefix(a.Reveal(), introducer.AccountPrefix)
	shown := fmt.Sprintf("%v %+v %#v %s %v", a, a, a, must(json.Marshal(a)), a.LogValue())
	if shown += fmt.Sprintf("%v %+v %#v", a.Signer(found(t, "g", share.Params{}, false)), a, a); strings.Contains(shown, secret[:8]) {
		t.Error("printing shows the secret")
	}
	for _, text := range []string{"", secret, a.Reveal()[:40], a.Reveal() + "a", strings.ToUpper(a.Reveal()), introducer.AccountPrefix, a.Reveal() + "\n"} {
		if _, err := introducer.ParseAccount(text); err == nil {
			t.Errorf("%q is an account", text)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[15:30]) {
			t.Error("the error shows the secret")
		}
	}
	for _, text := range []string{"", "a", a.Key().String()[:51], strings.Repeat("a", 52), a.Key().String() + "a", strings.ToUpper(a.Key().String())} {
		if _, err := introducer.ParseAccountKey(text); err == nil {
			t.Errorf("%q is an account key", text)
		}
	}
	type holder struct{ Key introducer.AccountKey }
	for _, h := range []holder{{}, {a.Key()}} {
		var back holder
		if err := json.Unmarshal(must(json.Marshal(h)), &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, back); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := introducer.AccountFromSeed(make([]byte, 32)); err == nil {
		t.Error("a seed of zeros is an account")
	}
}

// fuzzWorld is the same in every run, so that a corpus stays of use.
func fuzzWorld(t testing.TB) *world {
	grid, key := fixedGrid(t)
	return worldOf(t, grid, key)
}

func FuzzParseStatement(f *testing.F) {
	w := fuzzWorld(f)
	for _, data := range samples(w) {
		f.Add(data)
	}
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := w.empty()
		s, err := introducer.ParseStatement(w.grid, data)
		if err == nil && !bytes.Equal(s.Bytes(), data) {
			t.Error("another form of the same statement was accepted")
		}
		if news, addErr := r.Add(data); err != nil && (news != 0 || addErr == nil) {
			t.Errorf("%d news of what does not parse: %v", news, err)
		}
	})
}
