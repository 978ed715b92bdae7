// Package page is the format of directories: pages of names with their capabilities, and how write capabilities are
// sealed inside them. It is pure: no store and no network.
//
// docs/formats.md, "Directories", is the specification. A page is the plaintext of one small encoded file. A leaf holds
// entries; a page of a higher level holds references to the pages below it.
package page

import (
	"bytes"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"cairn/share"
	"cairn/share/keys"
)

// Bounds of a page. Every page that Parse accepts keeps them.
const (
	// Version is the version of the format that this package writes.
	Version = 1
	// MaxSize is the longest encoded page in bytes.
	MaxSize = 64 << 10
	// MaxLevel is the highest level of a page; leaves are at level 0.
	MaxLevel = 15
	// MaxCount bounds the entries of one directory.
	MaxCount = 1 << 40
	maxItems = MaxSize / 4
)

// A Page is one page of a directory: Entries at level 0, Refs above.
type Page struct {
	Level   int
	Entries []Entry // in ascending order of their names
	Refs    []Ref   // in ascending order of Last
}

// A Ref refers to a page of the level below.
type Ref struct {
	Last  string             // the last name in the page or below it
	Count int64              // how many entries are in the page or below it
	Index share.StorageIndex // of the page's file
	Key   keys.ReadKey       // of the page's file
}

// Count returns how many entries are in the page and below it.
func (p Page) Count() int64 {
	n := int64(len(p.Entries))
	for _, r := range p.Refs {
		n += r.Count
	}
	return n
}

// Last returns the last name in the page or below it, empty for the empty directory.
func (p Page) Last() string {
	switch {
	case len(p.Entries) > 0:
		return p.Entries[len(p.Entries)-1].Name
	case len(p.Refs) > 0:
		return p.Refs[len(p.Refs)-1].Last
	}
	return ""
}

// pageBlock, entryBlock and refBlock are the dag-cbor maps.
type pageBlock struct {
	Version int          `cbor:"v"`
	Level   int          `cbor:"l,omitempty"`
	Entries []entryBlock `cbor:"e,omitempty"`
	Refs    []refBlock   `cbor:"p,omitempty"`
}

type entryBlock struct {
	Name       string            `cbor:"n"`
	Capability string            `cbor:"c,omitempty"`
	Sealed     []byte            `cbor:"w,omitempty"`
	Size       int64             `cbor:"s,omitempty"`
	Modified   *int64            `cbor:"m,omitempty"`
	Created    *int64            `cbor:"b,omitempty"`
	Changed    *int64            `cbor:"t,omitempty"`
	Type       string            `cbor:"y,omitempty"`
	Executable bool              `cbor:"x,omitempty"`
	User       map[string]string `cbor:"u,omitempty"`
}

type refBlock struct {
	Last  string `cbor:"n"`
	Count int64  `cbor:"c"`
	Index []byte `cbor:"i"`
	Key   []byte `cbor:"k"`
}

var (
	encoder = must(cbor.EncOptions{Sort: cbor.SortLengthFirst, IndefLength: cbor.IndefLengthForbidden}.EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 5, MaxMapPairs: MaxUser, MaxArrayElements: maxItems,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("page: " + err.Error())
	}
	return v
}

// Marshal returns the encoded page. The page must be valid.
func (p Page) Marshal() []byte {
	b := pageBlock{Version: Version, Level: p.Level}
	for _, e := range p.Entries {
		b.Entries = append(b.Entries, e.block())
	}
	for _, r := range p.Refs {
		b.Refs = append(b.Refs, r.block())
	}
	return must(encoder.Marshal(b))
}

func (r Ref) block() refBlock {
	return refBlock{Last: r.Last, Count: r.Count, Index: r.Index[:], Key: r.Key[:]}
}

// Parse reads a page. It accepts only the bytes that Marshal would write of a valid page and returns ErrCorrupt for
// anything else, ErrTooLarge beyond MaxSize, or ErrVersion for a page of a later version.
func Parse(data []byte) (Page, error) {
	if len(data) > MaxSize {
		return Page{}, fmt.Errorf("directory page of %d bytes: %w: at most %d", len(data), share.ErrTooLarge, MaxSize)
	}
	var v struct {
		Version int `cbor:"v"`
	}
	if err := cbor.Unmarshal(data, &v); err == nil && v.Version > Version {
		return Page{}, fmt.Errorf("directory page of format version %d: %w: this program knows version %d", v.Version, share.ErrVersion, Version)
	}
	var b pageBlock
	if err := decoder.Unmarshal(data, &b); err != nil {
		return Page{}, corrupt("%v", err)
	}
	p, err := b.page()
	if err != nil {
		return Page{}, err
	}
	if !bytes.Equal(must(encoder.Marshal(b)), data) {
		return Page{}, corrupt("not in canonical form")
	}
	return p, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("directory page: %w: %s", share.ErrCorrupt, fmt.Sprintf(format, args...))
}

// page checks the rules that CBOR does not know.
func (b pageBlock) page() (Page, error) {
	p := Page{Level: b.Level}
	switch {
	case b.Version != Version:
		return p, corrupt("version %d", b.Version)
	case b.Level < 0 || b.Level > MaxLevel:
		return p, corrupt("level %d", b.Level)
	case b.Level == 0 && len(b.Refs) > 0, b.Level > 0 && len(b.Entries) > 0, b.Level > 0 && len(b.Refs) == 0:
		return p, corrupt("a leaf holds entries, other pages hold references")
	}
	for i, eb := range b.Entries {
		e, err := eb.entry()
		if err != nil {
			return p, err
		}
		if i > 0 && p.Entries[i-1].Name >= e.Name {
			return p, corrupt("names are not in ascending order")
		}
		p.Entries = append(p.Entries, e)
	}
	for i, rb := range b.Refs {
		r, err := rb.ref()
		if err != nil {
			return p, err
		}
		if i > 0 && p.Refs[i-1].Last >= r.Last {
			return p, corrupt("references are not in ascending order")
		}
		p.Refs = append(p.Refs, r)
	}
	if p.Count() > MaxCount {
		return p, corrupt("more than %d entries", int64(MaxCount))
	}
	return p, nil
}

func (b refBlock) ref() (Ref, error) {
	r := Ref{Last: b.Last, Count: b.Count}
	if len(b.Index) != len(r.Index) || len(b.Key) != len(r.Key) || b.Count < 1 || b.Count > MaxCount {
		return r, corrupt("a reference has the wrong form")
	}
	if err := checkStored(b.Last); err != nil {
		return r, err
	}
	copy(r.Index[:], b.Index)
	copy(r.Key[:], b.Key)
	return r, nil
}

// EntrySize and RefSize return what an item adds to the length of its page, so that a writer can fill pages.
func EntrySize(e Entry) int { return len(must(encoder.Marshal(e.block()))) }

// RefSize returns what a reference adds to the length of its page.
func RefSize(r Ref) int { return len(must(encoder.Marshal(r.block()))) }
