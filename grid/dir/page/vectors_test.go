package page_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"cairn/grid/dir/page"
	"cairn/share/capability"
)

var update = flag.Bool("update", false, "rewrite the golden vectors in docs/vectors")

const vectorFile = "../../../docs/vectors/directories.json"

// vectors is docs/vectors/directories.json.
type vectors struct {
	WriteKey  string            `json:"write_key"` // of the directory that all pages belong to
	Name      string            `json:"name"`
	SealKey   string            `json:"seal_key"`
	NonceKey  string            `json:"nonce_key"`
	Pages     []pageVector      `json:"pages"`
	Malformed []malformedVector `json:"malformed"`
	Names     []nameCase        `json:"names"`
}

type pageVector struct {
	About   string        `json:"about"`
	Page    string        `json:"page"`
	Level   int           `json:"level"`
	Count   int64         `json:"count"`
	Entries []entryVector `json:"entries,omitempty"`
	Refs    []refVector   `json:"refs,omitempty"`
}

type entryVector struct {
	Name       string            `json:"name"`
	Reader     string            `json:"reader,omitempty"` // the capability that readers get
	Writer     string            `json:"writer"`
	Size       int64             `json:"size,omitempty"`
	Modified   *int64            `json:"modified,omitempty"` // nanoseconds since 1970
	Created    *int64            `json:"created,omitempty"`
	Changed    *int64            `json:"changed,omitempty"`
	Type       string            `json:"type,omitempty"`
	Executable bool              `json:"executable,omitempty"`
	User       map[string]string `json:"user,omitempty"`
}

type refVector struct {
	Last  string `json:"last"`
	Count int64  `json:"count"`
	Index string `json:"index"`
	Key   string `json:"key"`
}

type malformedVector struct {
	About string `json:"about"`
	Page  string `json:"page"`
	Error string `json:"error"` // corrupt, version or too large
}

// TestVectors: this version still reads and writes every golden page byte for byte.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var golden vectors
	raw, err := os.ReadFile(vectorFile)
	if err == nil {
		err = json.Unmarshal(raw, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := current(t)
	if !bytes.Equal(lines(t, golden), lines(t, want)) {
		t.Errorf("docs/vectors/directories.json differs from what this version writes: run go test with -update")
	}
	for _, v := range golden.Pages {
		data, err := hex.DecodeString(v.Page)
		if err != nil {
			t.Fatal(err)
		}
		p, err := page.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", v.About, err)
			continue
		}
		if got := describe(t, v.About, p); !bytes.Equal(lines(t, got), lines(t, v)) {
			t.Errorf("%s: read as %s", v.About, lines(t, got))
		}
	}
}

// current returns the vectors as this version makes them.
func current(t *testing.T) vectors {
	t.Helper()
	links := writeKey.Links()
	v := vectors{
		WriteKey: hex.EncodeToString(writeKey[:]), Name: capability.NameOf(writeKey).String(),
		SealKey: hex.EncodeToString(links.Seal[:]), NonceKey: hex.EncodeToString(links.Nonce[:]), Names: nameCases,
	}
	all := examples(t)
	for _, about := range slices.Sorted(maps.Keys(all)) {
		v.Pages = append(v.Pages, describe(t, about, all[about]))
	}
	for _, m := range malformedPages(t) {
		if len(m.data) <= 8192 { // not the one that is too long
			v.Malformed = append(v.Malformed, malformedVector{m.about, hex.EncodeToString(m.data), m.name})
		}
	}
	return v
}

func describe(t *testing.T, about string, p page.Page) pageVector {
	t.Helper()
	v := pageVector{About: about, Page: hex.EncodeToString(p.Marshal()), Level: p.Level, Count: p.Count()}
	sealer := page.NewSealer(writeKey)
	for _, e := range p.Entries {
		reader, err := page.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		writer, err := sealer.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		entry := entryVector{
			Name: e.Name, Reader: reader.Text(), Writer: writer.Text(), Size: e.Size, Type: e.ContentType, Executable: e.Executable, User: e.User,
		}
		entry.Modified, entry.Created, entry.Changed = page.Stamp(e.Modified), page.Stamp(e.Created), page.Stamp(e.Changed)
		v.Entries = append(v.Entries, entry)
	}
	for _, r := range p.Refs {
		v.Refs = append(v.Refs, refVector{r.Last, r.Count, r.Index.String(), hex.EncodeToString(r.Key[:])})
	}
	return v
}

// lines prints a value with one member a line.
func lines(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.MarshalIndent(v, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func writeVectors(t *testing.T) {
	t.Helper()
	out, err := json.MarshalIndent(current(t), "", " ")
	if err == nil {
		err = os.WriteFile(vectorFile, append(out, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
