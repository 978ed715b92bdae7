package dir

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
)

// maxTogether is how many pages are fetched in one exchange, which bounds the memory of a listing.
const maxTogether = 32

// A tree is the pages of one version of a directory. Everything below the root is read through fetch and checked: a page
// has to be on the level below its parent's, hold as many entries as its parent says, and its names have to lie behind
// those of the page before it and end with the one that its parent names. So a walk ends after one page for each
// level and leaf, whatever somebody who can write the directory put there.
type tree struct {
	fetch func(ctx context.Context, refs []page.Ref) ([]page.Page, error)
	root  page.Page
}

func notFound(err error) bool { return errors.Is(err, share.ErrNotFound) }

// A place is a page in the tree, with the reference that led to it and the last name before it.
type place struct {
	page page.Page
	ref  page.Ref // zero for the root
	low  string
}

// below returns the pages behind some of the references of a page.
func (t *tree) below(ctx context.Context, parent page.Page, low string, from, to int) ([]place, error) {
	refs := parent.Refs[from:to]
	pages, err := t.fetch(ctx, refs)
	if err != nil {
		return nil, err
	}
	places := make([]place, len(refs))
	for i, p := range pages {
		if from+i > 0 {
			low = parent.Refs[from+i-1].Last
		}
		if err := fits(parent, refs[i], p, low); err != nil {
			return nil, err
		}
		places[i] = place{p, refs[i], low}
	}
	return places, nil
}

// fits checks a page against what led to it.
func fits(parent page.Page, ref page.Ref, p page.Page, low string) error {
	first := ""
	switch {
	case len(p.Entries) > 0:
		first = p.Entries[0].Name
	case len(p.Refs) > 0:
		first = p.Refs[0].Last
	}
	switch {
	case p.Level != parent.Level-1:
		return fmt.Errorf("directory page: %w: it is on level %d below one on level %d", share.ErrCorrupt, p.Level, parent.Level)
	case p.Count() != ref.Count:
		return fmt.Errorf("directory page: %w: %d entries where %d were announced", share.ErrCorrupt, p.Count(), ref.Count)
	case p.Last() != ref.Last || first <= low:
		return fmt.Errorf("directory page: %w: its names are not the ones announced", share.ErrCorrupt)
	}
	return nil
}

// seek returns the page of a level in which a name has its place: the first that ends with it or behind it, otherwise
// the last one.
func (t *tree) seek(ctx context.Context, level int, name string) (place, error) {
	at := place{page: t.root}
	for at.page.Level > level {
		refs := at.page.Refs
		i := sort.Search(len(refs), func(i int) bool { return refs[i].Last >= name })
		i = min(i, len(refs)-1)
		places, err := t.below(ctx, at.page, at.low, i, i+1)
		if err != nil {
			return place{}, err
		}
		at = places[0]
	}
	return at, nil
}

// warm fetches the pages in which names have their places, many together, so that they are in memory when they are
// looked at one by one. The names are in order. Nothing is checked yet.
func (t *tree) warm(ctx context.Context, at page.Page, names []string) error {
	var refs []page.Ref
	var parts [][]string
	for i, ref := range at.Refs {
		n := len(names)
		if i < len(at.Refs)-1 {
			n = sort.SearchStrings(names, ref.Last+"\x00")
		}
		if n > 0 {
			refs, parts = append(refs, ref), append(parts, names[:n])
		}
		names = names[n:]
	}
	for len(refs) > 0 {
		n := min(len(refs), maxTogether)
		pages, err := t.fetch(ctx, refs[:n])
		if err != nil {
			return err
		}
		for i, p := range pages {
			if p.Level != at.Level-1 {
				return nil // for who looks at it to refuse
			}
			if err := t.warm(ctx, p, parts[i]); err != nil {
				return err
			}
		}
		refs, parts = refs[n:], parts[n:]
	}
	return nil
}

// lookup returns the entry of a name.
func (t *tree) lookup(ctx context.Context, name string) (page.Entry, error) {
	at, err := t.seek(ctx, 0, name)
	if err != nil {
		return page.Entry{}, err
	}
	entries := at.page.Entries
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Name >= name })
	if i == len(entries) || entries[i].Name != name {
		return page.Entry{}, share.ErrNotFound
	}
	return entries[i], nil
}

// entries hands the entries behind a name to yield, until it returns false. About as many pages are read as want entries
// need.
func (t *tree) entries(ctx context.Context, after string, want int64, yield func(page.Entry) bool) error {
	_, err := t.visit(ctx, place{page: t.root}, after, &want, yield)
	return err
}

func (t *tree) visit(ctx context.Context, at place, after string, want *int64, yield func(page.Entry) bool) (bool, error) {
	entries := at.page.Entries
	for _, e := range entries[sort.Search(len(entries), func(i int) bool { return entries[i].Name > after }):] {
		*want--
		if !yield(e) {
			return false, nil
		}
	}
	refs := at.page.Refs
	from := sort.Search(len(refs), func(i int) bool { return refs[i].Last > after })
	for from < len(refs) {
		to, expected := from+1, refs[from].Count
		for to < len(refs) && to-from < maxTogether && expected < *want {
			expected += refs[to].Count
			to++
		}
		places, err := t.below(ctx, at.page, at.low, from, to)
		if err != nil {
			return false, err
		}
		for _, p := range places {
			if more, err := t.visit(ctx, p, after, want, yield); !more || err != nil {
				return false, err
			}
		}
		from = to
	}
	return true, nil
}

// namedPages are Pages that know where those of a mutable directory are likely to be.
type namedPages interface {
	FetchOf(ctx context.Context, name share.Name, refs []page.Ref) ([][]byte, error)
}

// fetch returns pages of a directory from memory or from the grid.
func (d *Dirs) fetch(ctx context.Context, c capability.Capability, refs []page.Ref) ([]page.Page, error) {
	pages := make([]page.Page, len(refs))
	var missing []int
	var wanted []page.Ref
	for i, ref := range refs {
		p, ok := d.cache.get(ref)
		if !ok {
			missing, wanted = append(missing, i), append(wanted, ref)
		}
		pages[i] = p
	}
	if len(missing) == 0 {
		return pages, nil
	}
	read := d.Pages.Fetch
	name, mutable := c.Name()
	if named, ok := d.Pages.(namedPages); ok && mutable {
		read = func(ctx context.Context, refs []page.Ref) ([][]byte, error) { return named.FetchOf(ctx, name, refs) }
	}
	data, err := read(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("read %d pages: %w", len(wanted), err)
	}
	for i, raw := range data {
		p, err := page.Parse(raw)
		if err != nil {
			return nil, err
		}
		d.cache.put(wanted[i], p, len(raw))
		pages[missing[i]] = p
	}
	return pages, nil
}
