package introducer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/introducer"
	"cairn/share"
)

// A world is a private grid and everybody's keys, made from names so that a test runs the same each time.
type world struct {
	grid    introducer.Descriptor
	founder introducer.Signer
	now     time.Time

	verified *sync.Map // see quick
}

func newWorld(t testing.TB) *world {
	t.Helper()
	grid, key, err := introducer.Found("river friends", share.Params{}, false, founded)
	if err != nil {
		t.Fatal(err)
	}
	return worldOf(t, grid, key)
}

func worldOf(t testing.TB, grid introducer.Descriptor, key ed25519.PrivateKey) *world {
	t.Helper()
	signer, err := introducer.GridSigner(grid, key)
	if err != nil {
		t.Fatal(err)
	}
	return &world{grid: grid, founder: signer, now: founded.Add(24 * time.Hour)}
}

func account(name string) introducer.Account {
	seed := sha256.Sum256([]byte("account " + name))
	a, err := introducer.AccountFromSeed(seed[:])
	if err != nil {
		panic(err)
	}
	return a
}

// made holds what takes long to compute.
var made sync.Map

// once returns what make returned the first time for this name.
func once[T any](name string, make func() T) T {
	value, ok := made.Load(name)
	if !ok {
		value, _ = made.LoadOrStore(name, make())
	}
	return value.(T)
}

func key(name string) introducer.AccountKey {
	return once("key "+name, func() introducer.AccountKey { return account(name).Key() })
}

func nodeKeyOf(name string) crypto.PrivKey {
	return once("node "+name, func() crypto.PrivKey {
		seed := sha256.Sum256([]byte("node " + name))
		k, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed[:]))
		if err != nil {
			panic(err)
		}
		return k
	})
}

func nodeOf(name string) share.ServerID {
	return once("id "+name, func() share.ServerID {
		return share.ServerID(must(peer.IDFromPrivateKey(nodeKeyOf(name))).String())
	})
}

// signer returns whose name it is; the empty name is the grid's key.
func (w *world) signer(name string) introducer.Signer {
	if name == "" {
		return w.founder
	}
	return once("signer "+w.grid.ID()+name, func() introducer.Signer { return account(name).Signer(w.grid) })
}

// at returns a time some hours from the world's present.
func (w *world) at(hours int) time.Time { return w.now.Add(time.Duration(hours) * time.Hour) }

type change func(*introducer.Grant)

func (w *world) grant(by, to string, changes ...change) []byte {
	g := introducer.Grant{Account: key(to), Nickname: to, Issued: w.now, Seq: 1}
	for _, c := range changes {
		c(&g)
	}
	return must(w.signer(by).SignGrant(g))
}

func introduces(g *introducer.Grant) { g.Introducer = true }
func seq(n uint64) change            { return func(g *introducer.Grant) { g.Seq = n } }
func nick(name string) change        { return func(g *introducer.Grant) { g.Nickname = name } }

func (w *world) issued(hours int) change { return func(g *introducer.Grant) { g.Issued = w.at(hours) } }

func (w *world) until(hours int) change        { return func(g *introducer.Grant) { g.Expires = w.at(hours) } }
func (w *world) device(of, node string) []byte { return w.deviceAt(of, node, 0, 1) }
func (w *world) revoke(by, whom string) []byte { return w.revokeAt(by, whom, 0) }
func (w *world) roster(s ...[]byte) *introducer.Roster {
	r := introducer.NewRoster(w.grid)
	r.SetClock(func() time.Time { return w.now })
	if _, err := r.Add(s...); err != nil {
		panic(err)
	}
	return r
}

func (w *world) deviceAt(of, node string, hours int, seq uint64) []byte {
	return must(introducer.SignDevice(w.grid, account(of), nodeKeyOf(node),
		introducer.Device{Name: node, Issued: w.at(hours), Seq: seq}))
}

func (w *world) removal(of, node string, seq uint64) []byte {
	return must(introducer.SignRemoval(w.grid, account(of),
		introducer.Device{ID: nodeOf(node), Name: node, Issued: w.now, Seq: seq}))
}

func (w *world) revokeAt(by, whom string, hours int) []byte {
	return must(w.signer(by).SignRevocation(
		introducer.Revocation{Account: key(whom), Reason: "lost " + whom, Issued: w.at(hours)}))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// state returns the state of an account in a word, "unknown" for none.
func state(r *introducer.Roster, name string, now time.Time) string {
	m, ok := r.Member(key(name), now)
	if !ok {
		return "unknown"
	}
	return m.State.String()
}

// members returns the nicknames of the members, in order.
func members(r *introducer.Roster, now time.Time) string {
	var names []string
	for _, m := range r.Members(now) {
		if m.State == introducer.StateMember {
			names = append(names, m.Nickname)
		}
	}
	return strings.Join(names, " ")
}

// wantRefused checks that a statement is refused for a reason and changes nothing.
func wantRefused(t testing.TB, r *introducer.Roster, statement []byte, kind error, words string) {
	t.Helper()
	before, held := r.Digest(), r.Held()
	news, err := r.Add(statement)
	if news != 0 || !errors.Is(err, kind) {
		t.Errorf("%d news, error %v, want one that wraps %v", news, err, kind)
	}
	if err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("the error %q does not say %q", err, words)
	}
	if r.Digest() != before || r.Held() != held {
		t.Error("what was refused changed the roster")
	}
}
