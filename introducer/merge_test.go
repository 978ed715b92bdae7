package introducer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cairn/introducer"
	"cairn/share"
)

// people are those of whom random statements speak; the empty name is the grid's key.
var people = []string{"", "a", "b", "c", "d", "e", "f"}

// drawStatements returns random statements, most of which anybody may refuse.
func drawStatements(t *rapid.T, w *world, label string) [][]byte {
	n := rapid.IntRange(0, 24).Draw(t, label)
	list := make([][]byte, 0, n)
	for i := range n {
		list = append(list, drawStatement(t, w, fmt.Sprint(label, i)))
	}
	return list
}

func drawStatement(t *rapid.T, w *world, label string) []byte {
	by := rapid.SampledFrom(people).Draw(t, label+" by")
	whom := rapid.SampledFrom(people[1:]).Filter(func(name string) bool { return name != by }).Draw(t, label+" whom")
	number := uint64(rapid.IntRange(1, 3).Draw(t, label+" seq"))
	hour := rapid.IntRange(-5, 5).Draw(t, label+" hour")
	switch rapid.IntRange(0, 9).Draw(t, label+" kind") {
	case 0, 1:
		return w.revokeAt(by, whom, hour)
	case 2, 3:
		node := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, label+" node")
		if hour > 3 {
			return w.removal(whom, node, number)
		}
		return w.deviceAt(whom, node, hour, number)
	case 4:
		return must(w.signer(by).SignSettings(introducer.Settings{
			Issued: w.at(hour), Seq: number, Policy: introducer.Policy{Percent: 100 + hour},
		}))
	}
	changes := []change{seq(number), nick(rapid.SampledFrom([]string{"x", "X", "y"}).Draw(t, label+" nick")), w.issued(hour - 6)}
	if rapid.IntRange(0, 3).Draw(t, label+" introduces") > 0 {
		changes = append(changes, introduces)
	}
	if hour > 2 {
		changes = append(changes, w.until(rapid.SampledFrom([]int{-1, 0, 1}).Draw(t, label+" until")))
	}
	return w.grant(by, whom, changes...)
}

func (w *world) empty() *introducer.Roster {
	r := introducer.NewRoster(w.grid)
	r.SetClock(func() time.Time { return w.now })
	if w.verified != nil {
		r.SetVerify(w.verified)
	}
	return r
}

// quick returns a world in which each statement is verified once.
func quick(t *testing.T) *world {
	w := newWorld(t)
	w.verified = &sync.Map{}
	return w
}

// exchange has two rosters give each other what they have until neither has news.
func exchange(a, b *introducer.Roster) (news int) {
	for {
		n, _ := a.Add(b.Statements()...)
		m, _ := b.Add(a.Statements()...)
		if n+m == 0 {
			return news
		}
		news += n + m
	}
}

func meaning(w *world, r *introducer.Roster) (out struct {
	Members  []introducer.Member
	Settings introducer.Settings
	Owners   map[string]string
},
) {
	out.Settings, out.Owners = r.Settings(w.now), map[string]string{}
	for _, node := range []string{"n1", "n2", "n3"} {
		if m, ok := r.AccountOf(nodeOf(node), w.now); ok {
			out.Owners[node] = m.Account.Short()
		}
	}
	for _, m := range r.Members(w.now) {
		if m.Depth > 0 { // an account that nobody vouches for may be known to one and not to the other
			out.Members = append(out.Members, m)
		}
	}
	return out
}

// TestMergeAgrees lets several rosters collect random statements apart from each other, and then meet in any order: they
// agree, and on what one that knew everything from the beginning means.
func TestMergeAgrees(t *testing.T) {
	w := quick(t)
	rapid.Check(t, func(t *rapid.T) {
		rosters := make([]*introducer.Roster, rapid.IntRange(2, 4).Draw(t, "rosters"))
		for i := range rosters {
			rosters[i] = w.empty()
			for _, s := range drawStatements(t, w, fmt.Sprint("s", i, ".")) {
				rosters[i].Add(s)
			}
		}
		var everything [][]byte
		for _, r := range rosters {
			everything = append(everything, r.All()...)
		}
		for quiet := 0; quiet == 0; {
			quiet = 1
			for i := range rosters {
				for j := range rosters[:i] {
					if rapid.Bool().Draw(t, "swap") {
						i, j = j, i
					}
					if exchange(rosters[i], rosters[j]) > 0 {
						quiet = 0
					}
				}
			}
		}
		one := w.empty()
		one.Add(everything...)
		for i, r := range rosters {
			if r.Digest() != one.Digest() || r.Buckets() != one.Buckets() {
				t.Fatalf("roster %d differs from one that got everything at once", i)
			}
			if diff := cmp.Diff(meaning(w, one), meaning(w, r)); diff != "" {
				t.Fatalf("roster %d means something else (-one +it):\n%s", i, diff)
			}
		}
	})
}

// TestMergeLaws checks that merging is commutative and idempotent, and that what one has already, or has newer, changes
// nothing.
func TestMergeLaws(t *testing.T) {
	w := quick(t)
	rapid.Check(t, func(t *rapid.T) {
		history := drawStatements(t, w, "a")
		a := w.empty()
		a.Add(history...)
		b := w.empty()
		others := drawStatements(t, w, "b")
		b.Add(others...)

		ab, ba := w.empty(), w.empty()
		ab.Add(append(a.All(), b.All()...)...)
		ba.Add(append(b.All(), a.All()...)...)
		if ab.Digest() != ba.Digest() {
			t.Fatal("a with b is not b with a")
		}
		digest, held := ab.Digest(), ab.Held()
		for _, again := range [][][]byte{ab.Statements(), ab.All(), a.Statements(), b.Statements()} {
			if news, _ := ab.Add(again...); news != 0 || ab.Digest() != digest || ab.Held() != held {
				t.Fatalf("%d news in what it had", news)
			}
		}
	})
}

// TestMergeAssociates merges three sets in both ways.
func TestMergeAssociates(t *testing.T) {
	w := quick(t)
	rapid.Check(t, func(t *rapid.T) {
		var sets [3]*introducer.Roster
		for i := range sets {
			sets[i] = w.empty()
			sets[i].Add(drawStatements(t, w, fmt.Sprint("s", i, "."))...)
		}
		merge := func(order ...int) *introducer.Roster {
			var copies []*introducer.Roster
			for _, i := range order {
				r := w.empty()
				r.Add(sets[i].All()...)
				copies = append(copies, r)
			}
			exchange(copies[0], copies[1])
			exchange(copies[0], copies[2])
			exchange(copies[0], copies[1])
			return copies[0]
		}
		want := merge(0, 1, 2).Digest()
		for _, order := range [][]int{{1, 2, 0}, {2, 1, 0}} {
			if merge(order...).Digest() != want {
				t.Fatalf("the order %v gives another roster", order)
			}
		}
	})
}

// TestMembershipFollowsTheRules holds what a roster says against docs/formats.md, "Who is a member", for random statements in
// any order.
func TestMembershipFollowsTheRules(t *testing.T) {
	w := quick(t)
	rapid.Check(t, func(t *rapid.T) {
		r := w.empty()
		for _, s := range drawStatements(t, w, "s") {
			r.Add(s)
		}
		all := r.All()
		shuffled := slices.Clone(all)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again := w.empty()
		again.Add(shuffled...)
		if diff := cmp.Diff(meaning(w, r), meaning(w, again)); diff != "" {
			t.Fatalf("the meaning depends on more than the set:\n%s", diff)
		}
		checkRules(t, w, r, all)
	})
}

func checkRules(t *rapid.T, w *world, r *introducer.Roster, all [][]byte) {
	depth := map[introducer.AccountKey]int{{}: 0} // of those who may issue
	member := map[introducer.AccountKey]introducer.Member{}
	for _, m := range r.Members(w.now) {
		if m.State == introducer.StateMember {
			member[m.Account] = m
			if m.Introducer {
				depth[m.Account] = m.Depth
			}
		}
	}
	var grants, revocations, devices []introducer.Statement
	for _, data := range all {
		s := must(introducer.ParseStatement(w.grid, data))
		switch s.Kind {
		case introducer.KindGrant:
			grants = append(grants, s)
		case introducer.KindRevocation:
			revocations = append(revocations, s)
		case introducer.KindDevice:
			devices = append(devices, s)
		case introducer.KindSettings, introducer.KindContact:
		}
	}
	closest := map[introducer.AccountKey]int{}
	for _, s := range grants {
		d, authority := depth[s.Issuer]
		current := s.Grant.Expires.IsZero() || s.Grant.Expires.After(w.now)
		if authority && current && (closest[s.Grant.Account] == 0 || d+1 < closest[s.Grant.Account]) {
			closest[s.Grant.Account] = d + 1
		}
	}
	for _, s := range revocations {
		d, authority := depth[s.Issuer]
		if at := closest[s.Revocation.Account]; authority && d < at {
			closest[s.Revocation.Account] = -1
		}
	}
	for account, at := range closest {
		m, ok := member[account]
		if ok != (at > 0) || ok && m.Depth != at {
			t.Fatalf("account %s is a member: %v at depth %d; by the rules it is at %d", account.Short(), ok, m.Depth, at)
		}
	}
	for account, m := range member {
		if closest[account] <= 0 {
			t.Fatalf("%s is a member and nobody vouches for it", m.Nickname)
		}
	}
	for _, node := range []string{"n1", "n2", "n3"} {
		var owner introducer.Statement
		for _, s := range devices {
			if _, ok := member[s.Issuer]; !ok || s.Device.Removed || s.Device.ID != nodeOf(node) {
				continue
			}
			older := owner.Device == nil || s.Device.Issued.Before(owner.Device.Issued)
			if a, b := s.Digest(), owner.Digest(); owner.Device != nil && s.Device.Issued.Equal(owner.Device.Issued) {
				older = slices.Compare(a[:], b[:]) < 0
			}
			if older {
				owner = s
			}
		}
		m, ok := r.AccountOf(nodeOf(node), w.now)
		if ok != (owner.Device != nil) || ok && m.Account != owner.Issuer {
			t.Fatalf("%s belongs to %v %s, by the rules to %s", node, ok, m.Account.Short(), owner.Issuer.Short())
		}
		if admitted := r.Admit(nodeOf(node)) == nil; admitted != ok {
			t.Fatalf("%s is admitted: %v, belongs to somebody: %v", node, admitted, ok)
		}
	}
}

// TestPartition revokes an introducer on one side of a partition while it vouches for others on the other side.
func TestPartition(t *testing.T) {
	w := newWorld(t)
	base := [][]byte{
		w.grant("", "anna", introduces), w.grant("", "bob", introduces), w.grant("anna", "carl"), w.device("carl", "c1"),
		w.device("anna", "a1"), w.device("bob", "b1"),
	}
	east, west := w.roster(base...), w.roster(base...)
	if _, err := east.Revoke(w.founder, key("anna"), "stolen laptop", w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := west.Add(w.grant("anna", "mallory", introduces), w.device("mallory", "m1")); err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{w.grant("bob", "dora"), w.device("dora", "d1"), w.revoke("anna", "dora")} {
		if _, err := west.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := west.Admit(nodeOf("m1")); err != nil {
		t.Errorf("the west cannot know better: %v", err)
	}
	if err := west.Admit(nodeOf("d1")); err == nil {
		t.Error("the west admits dora, whom anna revoked there")
	}
	exchange(east, west)
	if east.Digest() != west.Digest() {
		t.Error("the two sides disagree after they met")
	}
	for _, r := range []*introducer.Roster{east, west} {
		for node, want := range map[string]bool{"a1": false, "m1": false, "b1": true, "c1": true, "d1": true} {
			if got := r.Admit(nodeOf(node)) == nil; got != want {
				t.Errorf("%s is admitted: %v, want %v", node, got, want)
			}
		}
	}
}

// TestExpelledGrowNothing offers a roster what expelled introducers sign, as often as they like.
func TestExpelledGrowNothing(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob", introduces, w.until(1)), w.grant("", "carl", introduces))
	if _, err := r.Add(w.revoke("", "anna"), w.grant("", "carl", seq(2))); err != nil {
		t.Fatal(err)
	}
	w.now = w.at(2)
	held := r.Held()
	for _, by := range []string{"anna", "bob", "carl", "stranger"} {
		for i := range 20 {
			whom := fmt.Sprint("new", i)
			if news, _ := r.Add(w.grant(by, whom, introduces), w.revoke(by, whom), w.device(whom, whom), w.grant(whom, "more")); news > 0 {
				t.Fatalf("%s added %d statements", by, news)
			}
		}
	}
	if r.Held() != held {
		t.Errorf("%d statements, %d before", r.Held(), held)
	}
}

// TestBoundOfRevocations lets an introducer revoke accounts that nobody knows.
func TestBoundOfRevocations(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "anna", introduces), w.grant("", "bob"))
	r.TrustAll()
	template, hole := w.revoke("anna", "carl"), key("carl")
	batch := make([][]byte, 0, introducer.MaxAccounts)
	for i := range introducer.MaxAccounts {
		whom := introducer.AccountKey{1, byte(i), byte(i >> 8)}
		batch = append(batch, bytes.Replace(template, hole[:], whom[:], 1))
	}
	if news, err := r.Add(batch...); news != len(batch) || err != nil {
		t.Fatalf("%d news, error %v", news, err)
	}
	wantRefused(t, r, w.revoke("anna", "carl"), share.ErrTooLarge, "10000 accounts are revoked")
	if _, err := r.Add(w.revoke("", "anna")); err != nil {
		t.Errorf("the grid's key has always room: %v", err)
	}
}

// TestForgets has one introducer after the other fill the roster: each is revoked, and what nobody heeds any more is kept
// within a bound.
func TestForgets(t *testing.T) {
	w := newWorld(t)
	r := w.roster(w.grant("", "bob"))
	r.TrustAll() // signing so much takes long
	hole := key("carl")
	for round, rogue := range []string{"anna", "dora", "eve"} {
		if _, err := r.Add(w.grant("", rogue, introduces)); err != nil {
			t.Fatal(err)
		}
		template := w.grant(rogue, "carl")
		batch := make([][]byte, 0, introducer.MaxAccounts)
		for i := range introducer.MaxAccounts {
			to := introducer.AccountKey{1, byte(i), byte(i >> 8), byte(round)} // no key that anybody has
			batch = append(batch, bytes.Replace(template, hole[:], to[:], 1))
		}
		r.Add(batch...)
		wantRefused(t, r, w.grant("", "carl"), share.ErrTooLarge, "10000 accounts")
		if _, err := r.Add(w.revoke("", rogue)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(w.grant("", "carl")); err != nil {
		t.Errorf("no room after the introducers who filled the roster were revoked: %v", err)
	}
	if n := len(r.Statements()); n != 8 {
		t.Errorf("%d statements count, want 8", n)
	}
	if n := r.Held(); n > 8+introducer.MaxDead {
		t.Errorf("%d statements are kept, want at most %d that nobody heeds", n, introducer.MaxDead)
	}
}
