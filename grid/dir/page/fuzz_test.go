package page_test

import (
	"bytes"
	"testing"

	"cairn/grid/dir/page"
	"cairn/share/capability"
)

// FuzzParse: what Parse accepts is what Marshal writes, keeps the limits, and can be opened or refused without panic.
func FuzzParse(f *testing.F) {
	for _, p := range examples(f) {
		f.Add(p.Marshal())
	}
	for _, m := range malformedPages(f) {
		f.Add(m.data)
	}
	sealer := page.NewSealer(writeKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := page.Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), data) {
			t.Fatalf("%x is read, but would be written as %x", data, p.Marshal())
		}
		if p.Level > page.MaxLevel || p.Count() > page.MaxCount || p.Level > 0 && len(p.Refs) == 0 {
			t.Fatalf("level %d, %d entries", p.Level, p.Count())
		}
		for _, e := range p.Entries {
			c, err := page.Open(e)
			if err != nil || c.Authority() == capability.AuthorityWrite {
				t.Fatalf("readers get %v: %v", c, err)
			}
			if c, err := sealer.Open(e); err == nil && c.IsZero() {
				t.Fatal("writers get nothing")
			}
		}
	})
}

// FuzzCheckName: a name that is accepted is accepted as it is the second time, and is what a page may hold.
func FuzzCheckName(f *testing.F) {
	for _, c := range nameCases {
		f.Add(c.Name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		nfc, err := page.CheckName(name)
		if err != nil {
			return
		}
		if again, err := page.CheckName(nfc); err != nil || again != nfc {
			t.Fatalf("%q becomes %q and then %q: %v", name, nfc, again, err)
		}
		p := page.Page{Entries: []page.Entry{{Name: nfc, Capability: file(1).Text()}}}
		if _, err := page.Parse(p.Marshal()); err != nil {
			t.Fatalf("%q: %v", nfc, err)
		}
	})
}
