package page_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func file(n byte) capability.Capability {
	return capability.File(share.StorageIndex{n}, keys.ReadKey{n})
}

func parse(t testing.TB, text string) capability.Capability {
	t.Helper()
	c, err := capability.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writeKey is that of the directory in these tests.
var writeKey = keys.WriteKey{0: 1, 15: 255}

// child is a capability that gives write authority.
func child(n byte) capability.Capability { return capability.Directory(keys.WriteKey{n, n}) }

func sealed(name string, c capability.Capability) page.Entry {
	e := page.Entry{Name: name}
	page.NewSealer(writeKey).Seal(&e, c)
	return e
}

// examples are valid pages.
func examples(t testing.TB) map[string]page.Page {
	full := sealed("music", child(7))
	full.Metadata = page.Metadata{
		Size: 1 << 40, Modified: time.Unix(1_700_000_000, 123_456_789), Created: time.Unix(0, 0), Changed: time.Unix(-1, 0),
		ContentType: "inode/directory", Executable: true, User: map[string]string{"tag": "a", "b": "", "ключ": "значение"},
	}
	photo := page.Entry{Name: "a photo.jpg", Capability: file(1).Text(), Metadata: page.Metadata{Size: 56, Modified: time.Unix(1_700_000_000, 0)}}
	literal, err := capability.Literal([]byte("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := child(8).Read()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]page.Page{
		"empty directory": {},
		"one file":        {Entries: []page.Entry{photo}},
		"every kind of link": {Entries: []page.Entry{
			photo,
			{Name: "hello", Capability: literal.Text(), Metadata: page.Metadata{Size: 6}},
			full,
			sealed("mutable", capability.Mutable(keys.WriteKey{9})),
			{Name: "read-only", Capability: read.Text()},
			sealed("unknown", parse(t, "cairn:vault:abc:def")), sealed("unknown, read-only", parse(t, "cairn:vault-read:abc")),
			{Name: "über", Capability: file(2).Text()},
		}},
		"two pages below": {Level: 1, Refs: []page.Ref{
			{Last: "m", Count: 23, Index: share.StorageIndex{1, 2}, Key: keys.ReadKey{3}},
			{Last: "zebra", Count: 300, Index: share.StorageIndex{4, 5}, Key: keys.ReadKey{6}},
		}},
		"one page on the highest level": {Level: page.MaxLevel, Refs: []page.Ref{{Last: "x", Count: page.MaxCount, Key: keys.ReadKey{1}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	for about, p := range examples(t) {
		data := p.Marshal()
		back, err := page.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", about, err)
			continue
		}
		if !bytes.Equal(back.Marshal(), data) || back.Count() != p.Count() || back.Last() != p.Last() || back.Level != p.Level {
			t.Errorf("%s: another page comes back", about)
		}
		for i, e := range back.Entries {
			if !e.Equal(p.Entries[i]) {
				t.Errorf("%s: entry %q differs: %+v", about, e.Name, e)
			}
		}
		for i, r := range back.Refs {
			if r != p.Refs[i] {
				t.Errorf("%s: reference %d differs: %+v", about, i, r)
			}
		}
	}
}

// A malformed page, and what makes it so.
type malformed struct {
	about string
	data  []byte
	name  string // corrupt, version or too large
}

// A change makes a page malformed: m is the CBOR map of "one file" or of "two pages below".
type change struct {
	about string
	apply func(m map[string]any)
}

func first(m map[string]any, list string) map[any]any { return m[list].([]any)[0].(map[any]any) }

// leafChanges and refChanges are what no valid page has.
var leafChanges = []change{
	{"no version", func(m map[string]any) { delete(m, "v") }},
	{"version 0", func(m map[string]any) { m["v"] = 0 }},
	{"a negative version", func(m map[string]any) { m["v"] = -1 }},
	{"a level with entries", func(m map[string]any) { m["l"] = 1 }},
	{"level 0 written out", func(m map[string]any) { m["l"] = 0 }},
	{"no entries written out", func(m map[string]any) { m["e"] = []any{} }},
	{"an unknown field", func(m map[string]any) { m["z"] = 1 }},
	{"entries and references", func(m map[string]any) { m["p"] = []any{} }},
	{"one name twice", func(m map[string]any) { m["e"] = append(m["e"].([]any), m["e"].([]any)[0]) }},
	{"an entry without a name", func(m map[string]any) { delete(first(m, "e"), "n") }},
	{"a name with a slash", func(m map[string]any) { first(m, "e")["n"] = "a/b" }},
	{"the name of the directory itself", func(m map[string]any) { first(m, "e")["n"] = "." }},
	{"the name of the directory above", func(m map[string]any) { first(m, "e")["n"] = ".." }},
	{"a name with a zero byte", func(m map[string]any) { first(m, "e")["n"] = "a\x00" }},
	{"a name with a control character", func(m map[string]any) { first(m, "e")["n"] = "a\u0085" }},
	{"a name of 256 bytes", func(m map[string]any) { first(m, "e")["n"] = strings.Repeat("n", 256) }},
	{"an entry without a capability", func(m map[string]any) { delete(first(m, "e"), "c") }},
	{"a capability that is none", func(m map[string]any) { first(m, "e")["c"] = "cairn:file:x" }},
	{"a write capability in the clear", func(m map[string]any) { first(m, "e")["c"] = child(1).Text() }},
	{"an unknown capability in the clear", func(m map[string]any) { first(m, "e")["c"] = "cairn:vault:abc" }},
	{"something sealed beside an immutable file", func(m map[string]any) { first(m, "e")["w"] = make([]byte, 56) }},
	{"a sealed capability that is too short", func(m map[string]any) {
		delete(first(m, "e"), "c")
		first(m, "e")["w"] = make([]byte, 40)
	}},
	{"a sealed capability that is too long", func(m map[string]any) {
		delete(first(m, "e"), "c")
		first(m, "e")["w"] = make([]byte, page.MaxSealed+1)
	}},
	{"a negative size", func(m map[string]any) { first(m, "e")["s"] = -1 }},
	{"size 0 written out", func(m map[string]any) { first(m, "e")["s"] = 0 }},
	{"a time that is no integer", func(m map[string]any) { first(m, "e")["m"] = 1.5 }},
	{"executable false written out", func(m map[string]any) { first(m, "e")["x"] = false }},
	{"a content type with a line break", func(m map[string]any) { first(m, "e")["y"] = "a\n" }},
	{"a content type of 256 bytes", func(m map[string]any) { first(m, "e")["y"] = strings.Repeat("y", 256) }},
	{"user data without a key", func(m map[string]any) { first(m, "e")["u"] = map[string]string{"": "x"} }},
	{"too much user data", func(m map[string]any) { first(m, "e")["u"] = map[string]string{"k": strings.Repeat("u", 4096)} }},
	{"an unknown field in an entry", func(m map[string]any) { first(m, "e")["q"] = 1 }},
}

var refChanges = []change{
	{"references on level 0", func(m map[string]any) { delete(m, "l") }},
	{"level 16", func(m map[string]any) { m["l"] = 16 }},
	{"a negative level", func(m map[string]any) { m["l"] = -1 }},
	{"a level without references", func(m map[string]any) { delete(m, "p") }},
	{"references out of order", func(m map[string]any) { first(m, "p")["n"] = "zz" }},
	{"one last name twice", func(m map[string]any) { first(m, "p")["n"] = "zebra" }},
	{"a reference without entries", func(m map[string]any) { first(m, "p")["c"] = 0 }},
	{"too many entries", func(m map[string]any) { first(m, "p")["c"] = int64(page.MaxCount) }},
	{"a storage index of 31 bytes", func(m map[string]any) { first(m, "p")["i"] = make([]byte, 31) }},
	{"a key of 17 bytes", func(m map[string]any) { first(m, "p")["k"] = make([]byte, 17) }},
	{"a reference to an illegal name", func(m map[string]any) { first(m, "p")["n"] = "" }},
}

// malformedPages are the pages that Parse has to refuse.
func malformedPages(t testing.TB) []malformed {
	t.Helper()
	mode, err := cbor.EncOptions{Sort: cbor.SortLengthFirst}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	var out []malformed
	changed := func(example string, changes []change) {
		data := examples(t)[example].Marshal()
		for _, c := range changes {
			var m map[string]any
			if err := cbor.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			c.apply(m)
			bad, err := mode.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, malformed{c.about, bad, "corrupt"})
		}
	}
	changed("one file", leafChanges)
	changed("two pages below", refChanges)
	one := examples(t)["one file"].Marshal()
	later := bytes.Clone(one)
	later[len(later)-1] = 2
	return append(out,
		malformed{"nothing", nil, "corrupt"},
		malformed{"something behind the page", append(bytes.Clone(one), 0), "corrupt"},
		malformed{"a page cut short", one[:len(one)-1], "corrupt"},
		malformed{"an integer not in its shortest form", append(one[:len(one)-1:len(one)-1], 0x18, 1), "corrupt"},
		malformed{"a list of indefinite length", append([]byte{0xa2, 0x61, 'e', 0x9f, 0xff}, 0x61, 'v', 1), "corrupt"},
		malformed{"keys out of order", []byte{0xa2, 0x61, 'v', 1, 0x61, 'l', 1}, "corrupt"},
		malformed{"version 2", later, "version"},
		malformed{"65537 bytes", make([]byte, page.MaxSize+1), "too large"},
	)
}

var sentinels = map[string]error{"corrupt": share.ErrCorrupt, "version": share.ErrVersion, "too large": share.ErrTooLarge}

func TestMalformedPages(t *testing.T) {
	for _, m := range malformedPages(t) {
		if _, err := page.Parse(m.data); !errors.Is(err, sentinels[m.name]) {
			t.Errorf("%s: %v, want %s", m.about, err, m.name)
		}
	}
}

// TestEveryBitOfAPageCounts: no page has a second encoding.
func TestEveryBitOfAPageCounts(t *testing.T) {
	for about, p := range examples(t) {
		data := p.Marshal()
		for i := range data {
			for bit := range 8 {
				other := bytes.Clone(data)
				other[i] ^= 1 << bit
				if got, err := page.Parse(other); err == nil && bytes.Equal(got.Marshal(), data) {
					t.Fatalf("%s: byte %d, bit %d does not matter", about, i, bit)
				}
			}
		}
	}
}

func TestSealing(t *testing.T) {
	s := page.NewSealer(writeKey)
	for _, c := range []capability.Capability{
		child(1), capability.Mutable(keys.WriteKey{1}), file(1), parse(t, "cairn:vault:abc"), parse(t, "cairn:vault-read:abc"),
	} {
		e := page.Entry{Name: "name"}
		s.Seal(&e, c)
		again := page.Entry{Name: "name"}
		s.Seal(&again, c)
		if !e.Equal(again) {
			t.Errorf("%v is sealed differently the second time", c)
		}
		got, err := s.Open(e)
		if err != nil || !got.Equal(c) {
			t.Errorf("%v comes back as %v: %v", c, got, err)
		}
		weak, err := page.Open(e)
		if err != nil || weak.Authority() == capability.AuthorityWrite || strings.Contains(fmt.Sprint(e), c.Text()) && !page.Weak(c) {
			t.Errorf("%v gives readers %v: %v", c, weak, err)
		}
		if len(e.Sealed) == 0 {
			continue
		}
		for i := range e.Sealed {
			bad := e
			bad.Sealed = bytes.Clone(e.Sealed)
			bad.Sealed[i] ^= 1
			if _, err := s.Open(bad); !errors.Is(err, share.ErrCorrupt) {
				t.Fatalf("%v with byte %d of the seal changed: %v", c, i, err)
			}
		}
		if _, err := page.NewSealer(keys.WriteKey{2}).Open(e); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("another directory opens %v: %v", c, err)
		}
		moved := e
		moved.Name = "other"
		if _, err := s.Open(moved); !errors.Is(err, share.ErrCorrupt) {
			t.Errorf("another name opens %v: %v", c, err)
		}
	}
}

// TestLyingSeal: a writer cannot make other writers and readers see different things under one name.
func TestLyingSeal(t *testing.T) {
	e := sealed("name", child(1))
	read, err := child(2).Read()
	if err != nil {
		t.Fatal(err)
	}
	bad := page.SealWrong(writeKey, "name", read, keys.WriteKey{1, 1})
	if _, err := page.NewSealer(writeKey).Open(bad); !errors.Is(err, share.ErrCorrupt) || bad.Capability == e.Capability {
		t.Errorf("a write key of something else: %v", err)
	}
}

func TestSizes(t *testing.T) {
	for about, p := range examples(t) {
		sum := 0
		for _, e := range p.Entries {
			sum += page.EntrySize(e)
		}
		for _, r := range p.Refs {
			sum += page.RefSize(r)
		}
		if rest := len(p.Marshal()) - sum; rest < 0 || rest > 12 {
			t.Errorf("%s: items of %d bytes in a page of %d", about, sum, len(p.Marshal()))
		}
	}
}
