package introducer_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cairn/introducer"
	"cairn/share"
)

var update = flag.Bool("update", false, "rewrite docs/vectors/roster.json")

const vectorFile = "../docs/vectors/roster.json"

// fixedGrid returns a grid that is the same in every run.
func fixedGrid(testing.TB) (introducer.Descriptor, ed25519.PrivateKey) {
	seed := sha256.Sum256([]byte("cairn vector grid"))
	key := ed25519.NewKeyFromSeed(seed[:])
	return introducer.Founded(key, "river friends", founded), key
}

// A rosterVector is docs/vectors/roster.json.
type rosterVector struct {
	Grid       string            `json:"grid"`
	Time       int64             `json:"time"`
	Statements []statementVector `json:"statements"`
	Digest     string            `json:"digest"`
	Accounts   []accountVector   `json:"accounts"`
	Settings   string            `json:"settings"`
	Refused    []statementVector `json:"refused"`
}

type statementVector struct {
	About     string `json:"about"`
	Error     string `json:"error,omitempty"`
	Statement string `json:"statement"`
}

type accountVector struct {
	Account    string   `json:"account"`
	Nickname   string   `json:"nickname"`
	State      string   `json:"state"`
	Introducer bool     `json:"introducer,omitempty"`
	Quota      int64    `json:"quota,omitempty"`
	Depth      int      `json:"depth,omitempty"`
	GrantedBy  string   `json:"granted_by,omitempty"`
	Devices    []string `json:"devices,omitempty"`
}

// goldenStatements are those of which docs/vectors holds the meaning.
func goldenStatements(w *world) []statementVector {
	list := []statementVector{}
	add := func(about string, data []byte) {
		list = append(list, statementVector{About: about, Statement: hex.EncodeToString(data)})
	}
	add("the grid's key makes anna an introducer", w.grant("", "anna", introduces))
	add("and zoe", w.grant("", "zoe", introduces))
	add("anna makes bob an introducer until a later day", w.grant("anna", "bob", introduces, w.until(1000)))
	add("bob vouches for carl, with a quota", w.grant("bob", "carl", func(g *introducer.Grant) { g.Quota = 5 << 30 }))
	add("zoe vouches for carl too, later", w.grant("zoe", "carl", w.issued(2), nick("Carl Åström")))
	add("anna vouched for dora, until yesterday", w.grant("anna", "dora", w.issued(-48), w.until(-24)))
	add("zoe vouches for another anna", w.grant("zoe", "eve", nick("ANNA")))
	add("the grid's key vouches for mallory", w.grant("", "mallory", introduces))
	add("mallory vouches for finn", w.grant("mallory", "finn"))
	add("anna and zoe revoke each other, which has no effect", w.revoke("anna", "zoe"))
	add("zoe revokes anna", w.revoke("zoe", "anna"))
	add("zoe vouches for gwen", w.grant("zoe", "gwen"))
	add("anna's laptop", w.device("anna", "anna's laptop"))
	add("anna's phone, until a later day", must(introducer.SignDevice(w.grid, account("anna"), nodeKeyOf("anna's phone"),
		introducer.Device{Name: "phone", Issued: w.now, Expires: w.at(99), Seq: 7})))
	add("anna's old machine, which she removed", w.removal("anna", "anna's old machine", 2))
	add("carl's machine", w.deviceAt("carl", "carl's machine", 1, 1))
	add("bob claimed carl's machine before", w.deviceAt("bob", "carl's machine", 0, 1))
	add("dora's machine", w.device("dora", "dora's machine"))
	add("finn's machine", w.device("finn", "finn's machine"))
	add("gwen's machine", w.device("gwen", "gwen's machine"))
	add("bob's settings", must(w.signer("bob").SignSettings(introducer.Settings{
		Issued: w.at(3), Seq: 99, Policy: introducer.Policy{Kind: introducer.Unlimited},
	})))
	add("anna's settings, which are closer", must(w.signer("anna").SignSettings(introducer.Settings{
		Issued: w.now, Seq: 1, Lease: 30 * 24 * time.Hour, Params: share.Params{Needed: 3, Happy: 7, Total: 10},
		Policy: introducer.Policy{Percent: 150, Floor: 2 << 30},
	})))
	add("carl's card", must(introducer.SignContact(w.grid, account("carl"), introducer.Contact{Card: "cairn:mutable-read:first", Issued: w.now, Seq: 1})))
	add("carl's card, elsewhere since", must(introducer.SignContact(w.grid, account("carl"), introducer.Contact{Card: "cairn:mutable-read:second", Issued: w.now, Seq: 2})))
	add("gwen's card", must(introducer.SignContact(w.grid, account("gwen"), introducer.Contact{Card: "cairn:mutable-read:gwen", Issued: w.now, Seq: 1})))
	add("mallory revokes carl", w.revoke("mallory", "carl"))
	add("anna revokes gwen, whom zoe vouches for", w.revoke("anna", "gwen"))
	add("the grid's key revokes mallory", w.revoke("", "mallory"))
	return list
}

func refusedStatements(w *world) []statementVector {
	list := []statementVector{}
	add := func(about, failure string, data []byte) {
		list = append(list, statementVector{About: about, Error: failure, Statement: hex.EncodeToString(data)})
	}
	flip := func(data []byte, at int) []byte { c := bytes.Clone(data); c[at] ^= 1; return c }
	grant, device := w.grant("", "anna"), w.device("anna", "laptop")
	theirs, ours := must(nodeKeyOf("anna").GetPublic().Raw()), must(nodeKeyOf("laptop").GetPublic().Raw())
	add("a changed signature", "corrupt", flip(grant, len(grant)-1))
	add("a changed nickname", "corrupt", bytes.Replace(grant, []byte("anna"), []byte("enna"), 1))
	add("a control character in the nickname", "corrupt", bytes.Replace(grant, []byte("anna"), []byte("an\x1ba"), 1))
	add("another grid", "denied", newWorldOf("another grid").grant("", "anna"))
	add("the kind of another statement", "corrupt", append(append([]byte{grant[0], grant[1]}, 3), grant[3:]...))
	add("a kind that is unknown", "version", append(append([]byte{grant[0], grant[1]}, 9), grant[3:]...))
	add("a byte behind it", "corrupt", append(bytes.Clone(grant), 0))
	add("cut off", "corrupt", grant[:len(grant)-1])
	add("another's node", "corrupt", bytes.Replace(device, ours, theirs, 1))
	add("a long form of a number", "corrupt", append(append([]byte{grant[0], grant[1], 0x18}, grant[2]), grant[3:]...))
	return list
}

// newWorldOf returns a world that is the same in every run.
func newWorldOf(name string) *world {
	seed := sha256.Sum256([]byte("cairn vector " + name))
	key := ed25519.NewKeyFromSeed(seed[:])
	grid := introducer.Founded(key, name, founded)
	return &world{grid: grid, founder: must(introducer.GridSigner(grid, key)), now: founded.Add(24 * time.Hour)}
}

func goldenRoster(w *world) rosterVector {
	statements := goldenStatements(w)
	r := w.empty()
	for _, s := range statements { // one by one: what somebody signed who was expelled later is kept
		if _, err := r.Add(must(hex.DecodeString(s.Statement))); err != nil {
			panic(s.About + ": " + err.Error())
		}
	}
	digest := r.Digest()
	v := rosterVector{
		Grid: must(introducer.NewAddress(w.grid, nil)).String(), Time: w.now.Unix(), Statements: statements,
		Digest: hex.EncodeToString(digest[:]), Refused: refusedStatements(w),
	}
	for _, m := range r.Members(w.now) {
		a := accountVector{
			Account: m.Account.String(), Nickname: m.Nickname, State: m.State.String(), Introducer: m.Introducer,
			Quota: m.Quota, Depth: m.Depth,
		}
		if !m.GrantedBy.IsZero() {
			a.GrantedBy = m.GrantedBy.String()
		}
		for _, d := range m.Devices {
			a.Devices = append(a.Devices, string(d.ID))
		}
		v.Accounts = append(v.Accounts, a)
	}
	settings := r.Settings(w.now)
	for _, s := range statements {
		if st := must(introducer.ParseStatement(w.grid, must(hex.DecodeString(s.Statement)))); st.Settings != nil && *st.Settings == settings {
			v.Settings = s.About
		}
	}
	return v
}

// TestGoldenRoster compares with docs/vectors/roster.json.
func TestGoldenRoster(t *testing.T) {
	w := fuzzWorld(t)
	got := goldenRoster(w)
	if *update {
		data := must(json.MarshalIndent(got, "", " "))
		if err := os.WriteFile(vectorFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var want rosterVector
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the vectors differ; a change that keeps the format never needs -update (-want +got):\n%s", diff)
	}
	kinds := map[string]error{"corrupt": share.ErrCorrupt, "denied": share.ErrDenied, "version": share.ErrVersion}
	for _, s := range want.Refused {
		_, err := introducer.ParseStatement(w.grid, must(hex.DecodeString(s.Statement)))
		if !errors.Is(err, kinds[s.Error]) {
			t.Errorf("%s: error %v, want %v", s.About, err, kinds[s.Error])
		}
	}
}

// TestIndependentReader runs docs/check_vectors.py, which knows the formats from docs/formats.md alone, on the roster.
func TestIndependentReader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the vectors are not checked by an independent reader")
	}
	out, err := exec.CommandContext(t.Context(), python, "-B", "../docs/check_vectors.py", "--roster").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
