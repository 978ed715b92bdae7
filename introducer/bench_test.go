package introducer_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cairn/introducer"
)

// fill returns the statements of a grid with this many members: ten introducers, who vouch for all others, and a device each.
func fill(w *world, n int) [][]byte {
	statements := make([][]byte, 0, 2*n)
	for i := range 10 {
		statements = append(statements, w.grant("", fmt.Sprint("introducer", i), introduces))
	}
	hole, held := key("member"), key("member")
	device, node := w.device("member", "node"), must(nodeKeyOf("node").GetPublic().Raw())
	var templates [10][]byte
	for i := range templates {
		templates[i] = w.grant(fmt.Sprint("introducer", i), "member")
	}
	for i := range n - 10 {
		template := templates[i%10]
		to := introducer.AccountKey{1, byte(i), byte(i >> 8)} // no key that anybody has: the roster trusts all
		copy(held[:], to[:])
		grant := bytes.Replace(template, hole[:], to[:], 1)
		at := bytes.Index(grant, []byte("fmember"))
		copy(grant[at+1:], fmt.Sprintf("m%05d", i)) // as long as the template's nickname
		own := bytes.Replace(device, hole[:], to[:], 1)
		to[0] = 2
		own = bytes.Replace(own, node, to[:], 1)
		statements = append(statements, grant, own)
	}
	return statements
}

// BenchmarkRoster says what a roster of the largest size costs.
func BenchmarkRoster(b *testing.B) {
	w := newWorld(b)
	const members = introducer.MaxAccounts - 1
	statements := fill(w, members)
	full := func(b *testing.B) *introducer.Roster {
		r := w.open(b, filepath.Join(b.TempDir(), "roster"))
		r.TrustAll()
		if _, err := r.Add(statements...); err != nil {
			b.Fatal(err)
		}
		if got := len(r.Members(w.now)); got != members {
			b.Fatalf("%d members, want %d", got, members)
		}
		return r
	}
	r := full(b)
	node := r.Members(w.now)[5000].Devices[0].ID
	b.Run("Fill", func(b *testing.B) {
		for b.Loop() {
			full(b)
		}
	})
	b.Run("Admit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Admit(node); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Members", func(b *testing.B) {
		for b.Loop() {
			r.Members(w.now)
		}
	})
	b.Run("Look", func(b *testing.B) { // what a change or an expiry costs
		later := w.now
		for b.Loop() {
			later = later.Add(-time.Second)
			r.Look(later)
		}
	})
	b.Run("Digest", func(b *testing.B) {
		for b.Loop() {
			r.Look(w.now).Digest()
		}
	})
	b.Run("Add", func(b *testing.B) { // a new version of one grant, with the file
		for n := uint64(2); b.Loop(); n++ {
			if news, err := r.Add(w.grant("", "introducer0", introduces, seq(n))); news != 1 || err != nil {
				b.Fatal(news, err)
			}
		}
	})
	b.Run("AddKnown", func(b *testing.B) {
		for b.Loop() {
			r.Add(statements[100])
		}
	})
	b.Run("Verify", func(b *testing.B) { // the signature of one grant
		grant := w.grant("", "introducer0")
		for b.Loop() {
			must(introducer.ParseStatement(w.grid, grant))
		}
	})
}

// TestFullRoster checks at the largest size that all are members, that admitting is a look into a table, and how long a file
// may be.
func TestFullRoster(t *testing.T) {
	w := newWorld(t)
	r := w.open(t, filepath.Join(t.TempDir(), "roster"))
	r.TrustAll()
	if _, err := r.Add(fill(w, introducer.MaxAccounts)...); err != nil {
		t.Fatal(err)
	}
	list := r.Members(w.now)
	if len(list) != introducer.MaxAccounts {
		t.Fatalf("%d members, want %d", len(list), introducer.MaxAccounts)
	}
	node := list[7000].Devices[0].ID
	if allocations := testing.AllocsPerRun(100, func() {
		if err := r.Admit(node); err != nil {
			t.Error(err)
		}
	}); allocations > 0 {
		t.Errorf("admitting a member allocates %v times: it works the roster out anew", allocations)
	}
}
