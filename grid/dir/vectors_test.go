package dir_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/dir/page"
	"cairn/internal/dirtest"
	"cairn/share"
	"cairn/share/keys"
)

var rewrite = flag.Bool("update", false, "rewrite the golden vectors in docs/vectors")

const treeFile = "../../docs/vectors/directory_trees.json"

// A treeVector is an immutable directory and what it becomes. Entry i of Count has the name "file %05d", a capability of
// a literal with the name as its data, and size i.
type treeVector struct {
	Count       int      `json:"count"`
	Needed      int      `json:"k"`
	Total       int      `json:"n"`
	Convergence string   `json:"convergence"`
	Capability  string   `json:"capability"`
	Ends        []string `json:"ends"` // the last names of the leaves
	Pages       int      `json:"pages"`
}

// TestTreeVectors: the same entries are still the same immutable directory, page for page.
func TestTreeVectors(t *testing.T) {
	var want []treeVector
	for _, count := range []int{0, 1, 100, 400, 30_000} {
		want = append(want, treeOf(t, count))
	}
	if *rewrite {
		out := []byte("[")
		for i, v := range want {
			line, err := json.Marshal(v)
			check(t, err)
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(out, '\n'), line...)
		}
		check(t, os.WriteFile(treeFile, append(out, "\n]\n"...), 0o644))
	}
	raw, err := os.ReadFile(treeFile)
	check(t, err)
	var golden []treeVector
	check(t, json.Unmarshal(raw, &golden))
	got, err := json.Marshal(want)
	check(t, err)
	was, err := json.Marshal(golden)
	check(t, err)
	if !bytes.Equal(got, was) {
		t.Errorf("got  %s\nwant %s", got, was)
	}
}

func treeOf(t *testing.T, count int) treeVector {
	t.Helper()
	m := dirtest.New()
	m.Code = share.Params{Needed: 2, Happy: 2, Total: 3}
	secret := keys.ConvergenceSecret{31: 1}
	d := dir.New(dir.Config{Files: m, Pages: m, Secret: secret})
	c, err := d.CreateImmutable(t.Context(), func(yield func(dir.Entry, error) bool) {
		for i := range count {
			name := fmt.Sprintf("file %05d", i)
			if !yield(dir.Entry{Name: name, Capability: literal(t, name), Metadata: dir.Metadata{Size: int64(i)}}, nil) {
				return
			}
		}
	})
	check(t, err)
	v := treeVector{Count: count, Needed: 2, Total: 3, Convergence: hex.EncodeToString(secret[:]), Capability: c.Text()}
	index, _ := c.StorageIndex()
	key, _ := c.ReadKey()
	level := []page.Ref{{Index: index, Key: key}}
	for len(level) > 0 {
		data, err := m.Fetch(t.Context(), level)
		check(t, err)
		level = nil
		for _, raw := range data {
			p, err := page.Parse(raw)
			check(t, err)
			level = append(level, p.Refs...)
			v.Pages++
			if p.Level == 0 {
				v.Ends = append(v.Ends, p.Last())
			}
		}
	}
	return v
}
