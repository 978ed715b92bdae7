package capability_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"cairn/share/capability"
)

var update = flag.Bool("update", false, "rewrite the golden vectors in docs/vectors")

const vectorFile = "../../docs/vectors/capabilities.json"

// vectors is docs/vectors/capabilities.json.
type vectors struct {
	Valid     []validVector     `json:"valid"`
	Malformed []malformedVector `json:"malformed"`
}

type validVector struct {
	Text         string `json:"text"`
	Kind         string `json:"kind"`
	Authority    string `json:"authority"`
	StorageIndex string `json:"storage_index,omitempty"`
	Name         string `json:"name,omitempty"`
	WriteKey     string `json:"write_key,omitempty"`
	ReadKey      string `json:"read_key,omitempty"`
	Data         string `json:"data,omitempty"`
	Read         string `json:"read,omitempty"`
	Verify       string `json:"verify,omitempty"`
}

type malformedVector struct {
	About  string `json:"about"`
	Text   string `json:"text"`
	Column int    `json:"column"`
	Says   string `json:"says"`
}

func describe(c capability.Capability) validVector {
	v := validVector{Text: c.Text(), Kind: c.Kind().String(), Authority: c.Authority().String()}
	if index, ok := c.StorageIndex(); ok {
		v.StorageIndex = index.String()
	}
	if name, ok := c.Name(); ok {
		v.Name = name.String()
	}
	if key, ok := c.WriteKey(); ok {
		v.WriteKey = hex.EncodeToString(key[:])
	}
	if key, ok := c.ReadKey(); ok {
		v.ReadKey = hex.EncodeToString(key[:])
	}
	if data, ok := c.Data(); ok {
		v.Data = hex.EncodeToString(data)
	}
	if read, err := c.Read(); err == nil {
		v.Read = read.Text()
	}
	if verify, err := c.Verify(); err == nil {
		v.Verify = verify.Text()
	}
	return v
}

// TestVectors: every golden text is read as the kind, fields and weaker capabilities that stand beside it.
func TestVectors(t *testing.T) {
	if *update {
		updateVectors(t)
	}
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var golden vectors
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Valid) < len(capability.Kinds()) || len(golden.Malformed) != len(malformedTexts()) {
		t.Fatalf("%d valid and %d malformed texts: run go test with -update", len(golden.Valid), len(golden.Malformed))
	}
	for _, want := range golden.Valid {
		c, err := capability.Parse(want.Text)
		if err != nil {
			t.Errorf("%s: %v", want.Text, err)
		} else if got := describe(c); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	for i, want := range malformedTexts() {
		if got := golden.Malformed[i]; got != (malformedVector{want.about, want.text, want.column, want.says}) {
			t.Errorf("%s: the golden file says %+v", want.about, got)
		}
	}
}

func updateVectors(t *testing.T) {
	t.Helper()
	var v vectors
	all := examples(t)
	for _, n := range []int{0, 1, 54, 55} {
		literal, err := capability.Literal(bytes.Repeat([]byte{byte(n)}, n))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, literal)
	}
	for _, c := range append(all, parse(t, "cairn:later:kind:of/thing")) {
		v.Valid = append(v.Valid, describe(c))
	}
	for _, m := range malformedTexts() {
		v.Malformed = append(v.Malformed, malformedVector{m.about, m.text, m.column, m.says})
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
