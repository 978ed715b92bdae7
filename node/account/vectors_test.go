package account_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"cairn/node/account"
)

var update = flag.Bool("update", false, "write docs/vectors/account.json anew")

const vectorFile = "../../docs/vectors/account.json"

// vector is what follows from one phrase, in hexadecimal but for the words.
type vector struct {
	Phrase      string `json:"phrase"`
	AccountSeed string `json:"account_seed"`
	Account     string `json:"account"`
	Convergence string `json:"convergence"`
	Root        string `json:"root"`
	Record      string `json:"record"`
	Founder     string `json:"founder"`
	Grid        string `json:"grid"`
	Founded     int64  `json:"founded"`
	GridKey     string `json:"grid_key"`
}

func follows(t *testing.T, words, grid string, founded int64) vector {
	t.Helper()
	p, err := account.ParsePhrase(words)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Secrets()
	key := s.Account.Key()
	public := s.Founder.GridKey(grid, time.Unix(founded, 0)).Public().(ed25519.PublicKey)
	return vector{
		Phrase: p.Reveal(), AccountSeed: hex.EncodeToString(s.Account.Seed()), Account: hex.EncodeToString(key[:]),
		Convergence: hex.EncodeToString(s.Convergence[:]), Root: hex.EncodeToString(s.Root[:]), Record: hex.EncodeToString(s.Record[:]),
		Founder: hex.EncodeToString(s.Founder[:]), Grid: grid, Founded: founded, GridKey: hex.EncodeToString(public),
	}
}

// TestVectors: what follows from a phrase never changes, or nobody gets anything back.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 3 {
		t.Errorf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		if got := follows(t, v.Phrase, v.Grid, v.Founded); got != v {
			t.Errorf("got %+v, want %+v", got, v)
		}
	}
	// Every secret is another one, also from phrase to phrase.
	var all []string
	for _, v := range vectors {
		all = append(all, v.AccountSeed, v.Convergence, v.Record, v.Founder, v.Account, v.GridKey, v.Root, v.AccountSeed[:32], v.Record[:32], v.Founder[:32], v.Convergence[:32])
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
		t.Errorf("%d of %d values differ", n, len(all))
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	words := []string{
		strings.Repeat("abandon ", 23) + "art",
		strings.Repeat("zoo ", 23) + "vote",
		"dignity pass list indicate nasty swamp pool script soccer toe leaf photo multiply desk host tomato cradle drill spread actor shine dismiss champion exotic",
	}
	var vectors []vector
	for i, text := range words {
		vectors = append(vectors, follows(t, text, fmt.Sprintf("grid %d", i), 1_790_000_000+int64(i)))
	}
	vectors[2] = follows(t, words[2], "Freunde am Fluß", 1_795_000_000)
	data, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestIndependentReader runs docs/check_vectors.py, which knows the formats from docs/formats.md alone, on the phrases.
func TestIndependentReader(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	out, err := exec.CommandContext(t.Context(), python, "-B", "../../docs/check_vectors.py", "--account").CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 failed") || strings.HasPrefix(string(out), "0 checks") {
		t.Errorf("%v\n%s", err, out)
	}
}
