package introducer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/introducer"
	"cairn/share"
)

// TestEffective has a case for each rule of docs/formats.md, "Who is a member".
func TestEffective(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		statements [][]byte
		want       map[string]string // account, state
	}{
		"the grid's key vouches": {
			[][]byte{w.grant("", "anna")}, map[string]string{"anna": "member"},
		},
		"an introducer vouches": {
			[][]byte{w.grant("", "anna", introduces), w.grant("anna", "bob")},
			map[string]string{"anna": "member", "bob": "member"},
		},
		"a chain of introducers": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("anna", "bob", introduces),
				w.grant("bob", "carl", introduces), w.grant("carl", "dora"),
			},
			map[string]string{"dora": "member"},
		},
		"a grant that expired": {
			[][]byte{w.grant("", "anna", w.issued(-9), w.until(-1))}, map[string]string{"anna": "expired"},
		},
		"a grant that expires this second": {
			[][]byte{w.grant("", "anna", w.issued(-9), w.until(0))}, map[string]string{"anna": "expired"},
		},
		"a grant that expires later": {
			[][]byte{w.grant("", "anna", w.until(1))}, map[string]string{"anna": "member"},
		},
		"a renewed grant": {
			[][]byte{w.grant("", "anna", w.issued(-9), w.until(-1)), w.grant("", "anna", seq(2))},
			map[string]string{"anna": "member"},
		},
		"another introducer's grant outlives an expired one": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "bob", introduces),
				w.grant("anna", "carl", w.issued(-9), w.until(-1)), w.grant("bob", "carl"),
			},
			map[string]string{"carl": "member"},
		},
		"the grid's key revokes": {
			[][]byte{w.grant("", "anna"), w.revoke("", "anna")}, map[string]string{"anna": "revoked"},
		},
		"a revocation stays whatever is granted later": {
			[][]byte{w.grant("", "anna", seq(9), w.issued(9)), w.revoke("", "anna")}, map[string]string{"anna": "revoked"},
		},
		"a revoked introducer's members lose their chain": {
			[][]byte{w.grant("", "anna", introduces), w.grant("anna", "bob"), w.revoke("", "anna")},
			map[string]string{"anna": "revoked", "bob": "unvouched"},
		},
		"unless somebody else vouches for them": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "carl", introduces), w.grant("anna", "bob"),
				w.grant("carl", "bob"), w.revoke("", "anna"),
			},
			map[string]string{"bob": "member"},
		},
		"an introducer revokes whom it vouched for": {
			[][]byte{w.grant("", "anna", introduces), w.grant("anna", "bob"), w.revoke("anna", "bob")},
			map[string]string{"bob": "revoked"},
		},
		"an introducer revokes whom another one vouched for": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "carl", introduces), w.grant("carl", "bob"), w.revoke("anna", "bob"),
			},
			map[string]string{"bob": "revoked"},
		},
		"two introducers revoke each other": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "bob", introduces), w.revoke("anna", "bob"), w.revoke("bob", "anna"),
			},
			map[string]string{"anna": "member", "bob": "member"},
		},
		"one that is closer and one that is farther revoke each other": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("anna", "bob", introduces), w.revoke("bob", "anna"), w.revoke("anna", "bob"),
			},
			map[string]string{"anna": "member", "bob": "revoked"},
		},
		"a revocation by who is an introducer no longer does not count": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "bob", introduces), w.grant("anna", "carl"), w.revoke("bob", "carl"),
				w.grant("", "bob", seq(2)),
			},
			map[string]string{"carl": "member"},
		},
		"a revocation by who was revoked does not count": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("", "carl", introduces), w.grant("carl", "bob"),
				w.revoke("anna", "bob"), w.revoke("", "anna"),
			},
			map[string]string{"bob": "member"},
		},
		"an introducer who became a plain member vouches for nobody": {
			[][]byte{w.grant("", "anna", introduces), w.grant("anna", "bob"), w.grant("", "anna", seq(2))},
			map[string]string{"anna": "member", "bob": "unvouched"},
		},
		"an introducer whose grant expired vouches for nobody": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("anna", "bob"),
				w.grant("", "anna", introduces, seq(2), w.issued(-9), w.until(-1)),
			},
			map[string]string{"anna": "expired", "bob": "unvouched"},
		},
		"the closest grant counts": {
			[][]byte{
				w.grant("", "anna", introduces), w.grant("anna", "bob", introduces, w.issued(5)), w.grant("", "bob"),
				w.grant("anna", "carl", introduces),
			},
			map[string]string{"bob": "member", "carl": "member"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := introducer.NewRoster(w.grid)
			r.SetClock(func() time.Time { return w.now })
			for _, s := range c.statements { // one by one: the order of a partition that heals is the next test's
				if _, err := r.Add(s); err != nil {
					t.Fatal(err)
				}
			}
			for account, want := range c.want {
				if got := state(r, account, w.now); got != want {
					t.Errorf("%s is %s, want %s", account, got, want)
				}
			}
			backwards := introducer.NewRoster(w.grid)
			backwards.SetClock(func() time.Time { return w.now })
			for i := len(c.statements) - 1; i >= 0; i-- {
				backwards.Add(append(r.Statements(), c.statements[i])...)
			}
			if backwards.Digest() != r.Digest() {
				t.Error("another order gives another roster")
			}
		})
	}
}

// TestNewestGrantCounts has two introducers of one depth vouch for one account.
func TestNewestGrantCounts(t *testing.T) {
	w := newWorld(t)
	base := [][]byte{w.grant("", "anna", introduces), w.grant("", "bob", introduces)}
	older, newer := w.grant("anna", "carl", nick("older"), seq(9)), w.grant("bob", "carl", nick("newer"), w.issued(1))
	for _, order := range [][][]byte{{older, newer}, {newer, older}} {
		r := w.roster(append(base, order...)...)
		if m, _ := r.Member(key("carl"), w.now); m.Nickname != "newer" || m.GrantedBy != key("bob") {
			t.Errorf("the grant of %s counts, want the newest", m.Nickname)
		}
	}
}

func TestMembersTell(t *testing.T) {
	w := newWorld(t)
	r := w.roster(
		w.grant("", "anna", introduces), w.grant("anna", "bob", func(g *introducer.Grant) { g.Quota = 5 << 30 }, w.until(48)),
		w.device("bob", "laptop"), w.deviceAt("bob", "phone", -1, 1), w.grant("", "carl"), w.revoke("", "carl"))
	want := []introducer.Member{
		{Account: key("anna"), Nickname: "anna", Introducer: true, Issued: w.now, Depth: 1},
		{
			Account: key("bob"), Nickname: "bob", Quota: 5 << 30, Issued: w.now, Expires: w.at(48), GrantedBy: key("anna"), Depth: 2,
			Devices: []introducer.DeviceInfo{
				{ID: nodeOf("phone"), Name: "phone", Issued: w.at(-1)}, {ID: nodeOf("laptop"), Name: "laptop", Issued: w.now},
			},
		},
		{
			Account: key("carl"), Nickname: "carl", Issued: w.now, Depth: 1, State: introducer.StateRevoked,
			Reason: "revoked on 22 November 2026: lost carl",
		},
	}
	got := r.Members(w.now)
	for i := range got {
		if got[i].Granted.Account != got[i].Account {
			t.Errorf("%s has the grant of %s", got[i].Nickname, got[i].Granted.Nickname)
		}
		got[i].Granted = introducer.Grant{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	m, ok := r.AccountOf(nodeOf("phone"), w.now)
	if !ok || m.Account != key("bob") {
		t.Errorf("the phone belongs to %v, %v, want bob", m.Nickname, ok)
	}
	if m, ok := r.AccountOf(nodeOf("stranger"), w.now); ok {
		t.Errorf("a stranger's node belongs to %s", m.Nickname)
	}
	got[1].Devices[0].Name = "changed"
	if m, _ := r.AccountOf(nodeOf("phone"), w.now); m.Devices[0].Name != "phone" {
		t.Error("what Members returned shares memory with the roster")
	}
}

func TestAdmitSaysWhy(t *testing.T) {
	w := newWorld(t)
	r := w.roster(
		w.grant("", "anna", introduces), w.device("anna", "a1"), w.device("anna", "a2"), w.removal("anna", "a2", 2),
		w.grant("anna", "bob", w.until(3)), w.device("bob", "b1"),
		w.grant("anna", "carl"), w.device("carl", "c1"),
		must(introducer.SignDevice(w.grid, account("anna"), nodeKeyOf("a3"),
			introducer.Device{Name: "a3", Issued: w.now, Expires: w.at(2), Seq: 1})),
	)
	for _, node := range []string{"a1", "a3", "b1", "c1"} {
		if err := r.Admit(nodeOf(node)); err != nil {
			t.Errorf("%s is refused: %v", node, err)
		}
	}
	refused := func(node, words string) {
		t.Helper()
		err := r.Admit(nodeOf(node))
		if !errors.Is(err, share.ErrDenied) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: error %v, want one that says %q", node, err, words)
		}
		if _, err := r.Credentials(nodeOf(node)); !errors.Is(err, share.ErrDenied) {
			t.Errorf("%s has credentials: %v", node, err)
		}
	}
	refused("stranger", "is not a member of grid \"river friends\"")
	refused("a2", "anna removed this device on 22 November 2026")

	w.now = w.at(2)
	if next, ok := r.NextChange(w.now); !ok || !next.Equal(w.at(1)) {
		t.Errorf("the next change is at %v, %v, want %v", next, ok, w.at(1))
	}
	refused("a3", "this device of anna expired on 22 November 2026")
	if err := r.Admit(nodeOf("b1")); err != nil {
		t.Errorf("b1 is refused early: %v", err)
	}
	w.now = w.at(1)
	refused("b1", "it belongs to bob: the membership expired on 22 November 2026; any introducer can renew it")
	w.now = w.at(-1) // a clock that is set back
	if err := r.Admit(nodeOf("b1")); err != nil {
		t.Errorf("b1 is refused by a clock that was set back: %v", err)
	}
	if _, err := r.Add(w.revoke("anna", "carl")); err != nil {
		t.Fatal(err)
	}
	refused("c1", "it belongs to carl: revoked on 22 November 2026: lost carl")
	if _, err := r.Add(w.revoke("", "anna")); err != nil {
		t.Fatal(err)
	}
	refused("b1", "anna, who vouched for it, is no member: revoked on 22 November 2026: lost anna")
	refused("a1", "revoked")
}

func TestOpenGridAdmitsEverybody(t *testing.T) {
	r := introducer.NewRoster(found(t, "g", share.Params{}, true))
	if err := r.Admit(nodeOf("anybody")); err != nil {
		t.Errorf("an open grid refuses a node: %v", err)
	}
}

// TestRenewedGrant expires a membership and renews it.
func TestRenewedGrant(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("anna", "bob", w.until(1)), w.device("bob", "b1"))
	w.now = w.at(2)
	if err := r.Admit(nodeOf("b1")); err == nil {
		t.Fatal("admitted after the end")
	}
	if _, err := r.Vouch(w.signer("anna"), introducer.Grant{Account: key("bob"), Nickname: "bob"}, w.now); err != nil {
		t.Fatal(err)
	}
	if err := r.Admit(nodeOf("b1")); err != nil {
		t.Errorf("refused after the renewal: %v", err)
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	r := w.roster(
		w.grant("", "anna", introduces), w.grant("", "bob"), w.grant("", "carl", introduces), w.revoke("", "carl"),
		w.device("anna", "a1"), w.grant("anna", "dora", introduces, w.issued(-9), w.until(-1)))
	forged := w.grant("", "mallory")
	forged[len(forged)-1] ^= 1
	for name, c := range map[string]struct {
		statement []byte
		kind      error
		words     string
	}{
		"a stranger's grant":             {w.grant("mallory", "eve"), share.ErrDenied, "nobody vouches for account " + key("mallory").Short()},
		"a plain member's grant":         {w.grant("bob", "eve"), share.ErrDenied, "signed by bob"},
		"a plain member's revocation":    {w.revoke("bob", "anna"), share.ErrDenied, "is no introducer"},
		"a revoked introducer's grant":   {w.grant("carl", "eve"), share.ErrDenied, "revoked on 22 November 2026: lost carl"},
		"a revoked introducer's revenge": {w.revoke("carl", "anna"), share.ErrDenied, "signed by carl"},
		"an expired introducer's grant":  {w.grant("dora", "eve"), share.ErrDenied, "expired"},
		"a revoked member's device":      {w.device("carl", "c1"), share.ErrDenied, "revoked"},
		"a stranger's device":            {w.device("mallory", "m1"), share.ErrDenied, "nobody vouches"},
		"a stranger's settings": {
			must(w.signer("mallory").SignSettings(introducer.Settings{Issued: w.now, Policy: introducer.DefaultPolicy()})),
			share.ErrDenied, "nobody vouches",
		},
		"another grid's grant":  {other.grant("", "anna"), share.ErrDenied, "another grid"},
		"a forged signature":    {forged, share.ErrCorrupt, "signature does not match"},
		"from the day after":    {w.grant("", "eve", w.issued(25)), share.ErrDenied, "in the future; check the clocks"},
		"cut off":               {forged[:40], share.ErrCorrupt, ""},
		"empty":                 {nil, share.ErrCorrupt, ""},
		"too long":              {make([]byte, introducer.MaxStatement+1), share.ErrTooLarge, "1024"},
		"with something behind": {append(w.grant("", "eve"), 0), share.ErrCorrupt, ""},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, r, c.statement, c.kind, c.words) })
	}
	news, err := r.Add(w.grant("", "eve", w.issued(23)), forged, w.grant("anna", "finn"))
	var refused *introducer.RefusedError
	if news != 2 || !errors.As(err, &refused) || refused.Refused != 1 {
		t.Errorf("%d news, error %v, want the two good ones taken and one refused", news, err)
	}
}

// TestReplay adds old copies of everything: nothing changes.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	old := [][]byte{
		w.grant("", "anna", introduces), w.device("anna", "a1"), w.grant("anna", "bob"),
		must(w.founder.SignSettings(introducer.Settings{Issued: w.now, Policy: introducer.DefaultPolicy(), Seq: 1})),
	}
	r := w.roster(old...)
	for _, s := range [][]byte{
		w.removal("anna", "a1", 2), w.grant("anna", "bob", seq(2), w.issued(-2), w.until(-1)), w.revokeAt("", "bob", -5),
		must(w.founder.SignSettings(introducer.Settings{Issued: w.now, Policy: introducer.Policy{Kind: introducer.Unlimited}, Seq: 2})),
	} {
		if news, err := r.Add(s); news != 1 || err != nil {
			t.Fatalf("%d news, %v", news, err)
		}
	}
	digest := r.Digest()
	if news, err := r.Add(append(old, w.revokeAt("", "bob", 5))...); news != 0 || err != nil {
		t.Errorf("old copies are %d news, error %v", news, err)
	}
	if r.Digest() != digest {
		t.Error("old copies changed the roster")
	}
	if err := r.Admit(nodeOf("a1")); err == nil {
		t.Error("a removed device is admitted after a replay")
	}
	if got := r.Settings(w.now).Policy.Kind; got != introducer.Unlimited {
		t.Errorf("the policy is %v after a replay", got)
	}
}

// TestSameSeq has two statements with one sequence number: the outcome does not depend on which one comes first.
func TestSameSeq(t *testing.T) {
	w := newWorld(t)
	a, b := w.grant("", "anna", nick("one")), w.grant("", "anna", nick("two"))
	first, second := w.roster(a, b), w.roster(b, a)
	if first.Digest() != second.Digest() || members(first, w.now) != members(second, w.now) {
		t.Errorf("%q and %q", members(first, w.now), members(second, w.now))
	}
}

// TestClaims has two accounts claim one node.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	anna, bob := w.deviceAt("anna", "n", 0, 1), w.deviceAt("bob", "n", -1, 1)
	base := [][]byte{w.grant("", "anna"), w.grant("", "bob")}
	owner := func(r *introducer.Roster) string {
		m, _ := r.AccountOf(nodeOf("n"), w.now)
		return m.Nickname
	}
	for _, order := range [][][]byte{{anna, bob}, {bob, anna}} {
		r := w.roster(append(base, order...)...)
		if got := owner(r); got != "bob" {
			t.Errorf("the node belongs to %q, want bob, whose claim is older", got)
		}
		for _, m := range r.Members(w.now) {
			if want := map[string]int{"bob": 1}[m.Nickname]; len(m.Devices) != want {
				t.Errorf("%s has %d devices, want %d", m.Nickname, len(m.Devices), want)
			}
		}
	}
	same := w.deviceAt("bob", "n", 0, 1)
	if a, b := w.roster(append(base, anna, same)...), w.roster(append(base, same, anna)...); owner(a) != owner(b) || owner(a) == "" {
		t.Errorf("claims of one second: %q and %q", owner(a), owner(b))
	}
	r := w.roster(append(base, anna, bob, w.removal("bob", "n", 2))...)
	if got := owner(r); got != "anna" {
		t.Errorf("the node belongs to %q after bob gave it up, want anna", got)
	}
	r = w.roster(append(base, anna, bob)...)
	if _, err := r.Add(w.revoke("", "bob")); err != nil {
		t.Fatal(err)
	}
	if got := owner(r); got != "anna" {
		t.Errorf("the node belongs to %q after bob was revoked, want anna", got)
	}
}

// TestStolenDevice claims a node without its key.
func TestStolenDevice(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna"), w.device("anna", "a1"), w.grant("", "mallory"))
	claim := w.device("mallory", "m1")
	theirs, ours := must(nodeKeyOf("a1").GetPublic().Raw()), must(nodeKeyOf("m1").GetPublic().Raw())
	wantRefused(t, r, []byte(strings.ReplaceAll(string(claim), string(ours), string(theirs))), share.ErrCorrupt, "signature")
	removal := w.removal("mallory", "a1", 9) // its own slot: it takes nothing from anna
	if _, err := r.Add(removal); err != nil {
		t.Fatal(err)
	}
	if m, ok := r.AccountOf(nodeOf("a1"), w.now); !ok || m.Account != key("anna") {
		t.Errorf("another account removed anna's device: %v", m)
	}
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("anna", "bob", introduces), w.grant("bob", "carl"),
		w.device("carl", "c1"), w.grant("", "other"), w.device("anna", "a1"))
	chain, err := r.Credentials(nodeOf("c1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 4 {
		t.Errorf("%d statements, want 4", len(chain))
	}
	stranger := introducer.NewRoster(w.grid)
	stranger.SetClock(func() time.Time { return w.now })
	for _, s := range chain { // each rests on those before it
		if _, err := stranger.Add(s); err != nil {
			t.Error(err)
		}
	}
	if err := stranger.Admit(nodeOf("c1")); err != nil {
		t.Errorf("who got the credentials refuses the node: %v", err)
	}
	backwards := introducer.NewRoster(w.grid)
	backwards.SetClock(func() time.Time { return w.now })
	if _, err := backwards.Add(chain[3], chain[2], chain[1], chain[0]); err != nil {
		t.Errorf("in another order: %v", err)
	}
}

func TestNicknames(t *testing.T) {
	w := newWorld(t)
	r := w.roster(
		w.grant("", "anna", introduces), w.grant("anna", "bob", nick("Anna")), w.grant("", "carl", nick("ANNA"), w.issued(1)),
		w.grant("", "dora", w.until(-1), w.issued(-2)), w.grant("", "eve"), w.revoke("", "eve"))
	want := "anna Anna (" + key("bob").Short() + ") ANNA (" + key("carl").Short() + ")"
	got := strings.Fields(members(r, w.now))
	if len(got) != 5 || got[0] != "anna" {
		t.Errorf("the members are %q, want %q in some order", got, want)
	}
	seen := map[string]bool{}
	for _, m := range r.Members(w.now) {
		if seen[strings.ToLower(m.Nickname)] {
			t.Errorf("two are called %s", m.Nickname)
		}
		seen[strings.ToLower(m.Nickname)] = true
	}
	for name, wanted := range map[string]string{"anna": "anna", "aNNa": "anna", "dora": "dora", "eve": "", "finn": ""} {
		holder, taken := r.NicknameTaken(name, w.now)
		if taken != (wanted != "") || taken && holder != key(wanted) {
			t.Errorf("%s is taken: %v by %s, want by %q", name, taken, holder.Short(), wanted)
		}
	}
	_, err := r.Vouch(w.founder, introducer.Grant{Account: key("finn"), Nickname: "Dora"}, w.now)
	if !errors.Is(err, introducer.ErrNicknameTaken) {
		t.Errorf("error %v, want ErrNicknameTaken", err)
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("anna", "bob", introduces))
	if got := r.Settings(w.now); got.Policy != introducer.DefaultPolicy() || got.Seq != 0 {
		t.Errorf("without any settings: %+v", got)
	}
	set := func(by string, percent int, wantErr error) {
		t.Helper()
		s := introducer.Settings{Lease: time.Hour, Policy: introducer.Policy{Percent: percent}}
		if _, err := r.Configure(w.signer(by), s, w.now); !errors.Is(err, wantErr) {
			t.Errorf("%s sets %d percent: error %v, want %v", by, percent, err, wantErr)
		}
	}
	is := func(percent int) {
		t.Helper()
		if got := r.Settings(w.now).Policy.Percent; got != percent {
			t.Errorf("%d percent, want %d", got, percent)
		}
	}
	set("bob", 10, nil)
	is(10)
	set("anna", 20, nil)
	is(20)
	set("bob", 30, share.ErrDenied) // anna is closer
	is(20)
	set("anna", 40, nil) // within one millisecond
	is(40)
	set("stranger", 50, share.ErrDenied)
	set("", 60, nil)
	is(60)
	set("anna", 70, share.ErrDenied)
	is(60)
}

func TestSettingsOfTwoIntroducers(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob", introduces))
	for i, by := range []string{"anna", "bob", "anna"} {
		s := introducer.Settings{Policy: introducer.Policy{Percent: 100 + i}}
		if _, err := r.Configure(w.signer(by), s, w.at(-i)); err != nil { // each clock is behind the one before
			t.Fatal(err)
		}
		if got := r.Settings(w.now).Policy.Percent; got != 100+i {
			t.Errorf("%d percent, want those that were set last, %d", got, 100+i)
		}
	}
}

func TestChanges(t *testing.T) {
	w := newWorld(t)
	r := w.roster()
	calls := 0
	cancel := r.Subscribe(func() { calls += 1; r.Digest() })
	changed := r.Changed()
	if _, err := r.Add(w.grant("", "anna")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the channel is open after a change")
	}
	changed = r.Changed()
	if _, err := r.Add(w.grant("", "anna")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("the channel is closed without a change")
	default:
	}
	cancel()
	if _, err := r.Add(w.grant("", "bob")); err != nil {
		t.Fatal(err)
	}
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}
