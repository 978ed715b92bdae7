package dir

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sort"

	"cairn/grid/dir/page"
	"cairn/share"
)

// Where pages end follows from the names alone, not from the order of changes, so that the same entries make the same
// pages: a page ends behind an item whose hash is small enough, which is the likelier the longer the page is, and in any
// case when it is twice the usual length. One change moves the ends of a page or two.
//
// pageBytes is about how long pages are; see docs/benchmarks.md, "Directories".
const pageBytes = 16 << 10

// An item is an entry of a leaf, a reference of another page, or the removal of either.
type item struct {
	key   string // the name, or the last name
	entry *page.Entry
	ref   *page.Ref
}

func (i item) removal() bool { return i.entry == nil && i.ref == nil }

func (i item) size() int {
	if i.entry != nil {
		return page.EntrySize(*i.entry)
	}
	return page.RefSize(*i.ref)
}

// items returns what a page holds.
func items(p page.Page) []item {
	out := make([]item, 0, len(p.Entries)+len(p.Refs))
	for i := range p.Entries {
		out = append(out, item{key: p.Entries[i].Name, entry: &p.Entries[i]})
	}
	for i := range p.Refs {
		out = append(out, item{key: p.Refs[i].Last, ref: &p.Refs[i]})
	}
	return out
}

// A cutter cuts the items of one level into pages.
type cutter struct {
	level int
	usual int // length of a page
	open  page.Page
	size  int // of open's items
	done  []page.Page
}

func (c *cutter) add(i item) {
	size := i.size()
	c.open.Level = c.level
	if i.entry != nil {
		c.open.Entries = append(c.open.Entries, *i.entry)
	} else {
		c.open.Refs = append(c.open.Refs, *i.ref)
	}
	c.size += size
	if ends(c.usual, c.level, i.key, size, c.size) {
		c.cut()
	}
}

// cut ends the page, if one is open.
func (c *cutter) cut() {
	if c.size > 0 {
		c.done = append(c.done, c.open)
	}
	c.open, c.size = page.Page{}, 0
}

// ends reports whether a page whose items have the given length by now ends behind the last of them.
func ends(usual, level int, key string, itemBytes, length int) bool {
	switch {
	case length < usual/4:
		return false
	case length >= usual*2:
		return true
	}
	scale := 4 * usual
	if length >= usual {
		scale = usual / 4
	}
	hash := sha256.Sum256(append([]byte{byte(level)}, key...))
	return binary.BigEndian.Uint32(hash[:]) < uint32(min(uint64(itemBytes)*(1<<32)/uint64(scale), math.MaxUint32))
}

// A builder makes the tree of the next version out of that of another.
type builder struct {
	old   *tree
	usual int                             // length of a page
	name  func(data []byte) (Page, error) // gives a page its key and storage index
	// added are the pages of the new tree that the old one does not have, dropped those of the old one that the new one does
	// not have; roots are in neither.
	added   map[share.StorageIndex]Page
	dropped map[share.StorageIndex]bool
}

func newBuilder(old *tree, usual int, name func([]byte) (Page, error)) *builder {
	return &builder{old: old, usual: usual, name: name, added: map[share.StorageIndex]Page{}, dropped: map[share.StorageIndex]bool{}}
}

// build applies changes, which are in the order of their keys, and returns the new root.
func (b *builder) build(ctx context.Context, changes []item) (page.Page, error) {
	for level := 0; ; level++ {
		if len(changes) == 0 {
			return b.old.root, nil
		}
		pages, replaced, err := b.level(ctx, level, changes)
		if err != nil {
			return page.Page{}, err
		}
		if level >= b.old.root.Level && len(pages) <= 1 {
			return b.root(ctx, pages)
		}
		if changes, err = b.above(pages, replaced); err != nil {
			return page.Page{}, err
		}
	}
}

// level applies changes to one level and returns the pages that stand for those replaced.
func (b *builder) level(ctx context.Context, level int, changes []item) (pages []page.Page, replaced []place, err error) {
	c := cutter{level: level, usual: b.usual}
	if level > b.old.root.Level {
		for _, i := range changes {
			if !i.removal() {
				c.add(i)
			}
		}
		c.cut()
		return c.done, nil, nil
	}
	last := b.old.root.Last()
	for len(changes) > 0 {
		at, err := b.old.seek(ctx, level, changes[0].key)
		if err != nil {
			return nil, nil, err
		}
		for {
			replaced = append(replaced, at)
			end := at.page.Last()
			n := len(changes)
			if end != last {
				n = sort.Search(len(changes), func(i int) bool { return changes[i].key > end })
			}
			mix(items(at.page), changes[:n], c.add)
			changes = changes[n:]
			if end == last || c.size == 0 { // at the end, or new and old pages end at the same place
				break
			}
			if at, err = b.old.seek(ctx, level, end+"\x00"); err != nil {
				return nil, nil, err
			}
		}
	}
	c.cut()
	return c.done, replaced, nil
}

// mix hands the items with changes applied to add, in order.
func mix(items, changes []item, add func(item)) {
	for len(items) > 0 || len(changes) > 0 {
		switch {
		case len(changes) == 0 || len(items) > 0 && items[0].key < changes[0].key:
			add(items[0])
			items = items[1:]
			continue
		case len(items) > 0 && items[0].key == changes[0].key:
			items = items[1:]
		}
		if !changes[0].removal() {
			add(changes[0])
		}
		changes = changes[1:]
	}
}

// above returns the changes to the level above. A page that is as it was stays.
func (b *builder) above(pages []page.Page, replaced []place) ([]item, error) {
	before := map[string]page.Ref{}
	gone := map[share.StorageIndex]bool{}
	changes := map[string]item{}
	for _, p := range replaced {
		if p.ref.Count == 0 {
			continue // the old root, which has no reference
		}
		before[string(p.page.Marshal())] = p.ref
		gone[p.ref.Index] = true
		changes[p.ref.Last] = item{key: p.ref.Last}
	}
	for _, p := range pages {
		data := p.Marshal()
		if ref, ok := before[string(data)]; ok {
			delete(gone, ref.Index)
			delete(changes, ref.Last)
			continue
		}
		named, err := b.name(data)
		if err != nil {
			return nil, err
		}
		ref := page.Ref{Last: p.Last(), Count: p.Count(), Index: named.Index, Key: named.Key}
		b.added[ref.Index] = named
		changes[ref.Last] = item{key: ref.Last, ref: &ref}
	}
	for index := range gone {
		b.drop(index)
	}
	out := make([]item, 0, len(changes))
	for _, i := range changes {
		out = append(out, i)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out, nil
}

// drop notes that the new tree does not have a page.
func (b *builder) drop(index share.StorageIndex) {
	if _, ok := b.added[index]; ok {
		delete(b.added, index)
		return
	}
	b.dropped[index] = true
}

// root returns the root of the new tree, which is the first level that has one page only.
func (b *builder) root(ctx context.Context, pages []page.Page) (page.Page, error) {
	root := page.Page{}
	if len(pages) > 0 {
		root = pages[0]
	}
	for len(root.Refs) == 1 {
		ref := root.Refs[0]
		if named, ok := b.added[ref.Index]; ok {
			b.drop(ref.Index)
			p, err := page.Parse(named.Data)
			if err != nil {
				return page.Page{}, err
			}
			root = p
			continue
		}
		below, err := b.old.below(ctx, root, "", 0, 1)
		if err != nil {
			return page.Page{}, err
		}
		b.drop(ref.Index)
		root = below[0].page
	}
	return root, nil
}
