package dir

import (
	"context"
	"fmt"
	"iter"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
)

// A Directory is one version of a directory. It never changes and is safe for concurrent use; pages are read as they
// are needed.
type Directory struct {
	d       *Dirs
	c       capability.Capability
	version Version
	root    page.Page
	sealer  *page.Sealer // of who may write
	// merge is set where root brings forked versions together that no version has brought together yet.
	merge *merge
	// behind are forks that root has nothing of: their writers made again what they changed, or gave it up, or are about to.
	behind []Version
	// apart says why a fork could not be brought together with the version.
	apart error
}

// Capability returns what the directory was opened with.
func (x *Directory) Capability() capability.Capability { return x.c }

// Writable reports whether the capability allows changes.
func (x *Directory) Writable() bool { return x.sealer != nil }

// Version says which version this is. Where forked versions were brought together in memory it is the newest of them.
func (x *Directory) Version() Version { return x.version }

// Retention returns which past versions are kept from this version on.
func (x *Directory) Retention() share.Retention {
	if x.version.Sequence == 0 {
		return share.Retention{}
	}
	return HeadOf(share.Name{}, x.version).Retention()
}

// Len returns how many entries there are.
func (x *Directory) Len() int64 { return x.root.Count() }

// Lookup returns the entry of a name, share.ErrNotFound when there is none, or a *NameError.
func (x *Directory) Lookup(ctx context.Context, name string) (Entry, error) {
	e, err := x.find(ctx, name)
	if err != nil {
		return Entry{}, fmt.Errorf("look up %.300q: %w", name, err)
	}
	return x.entry(e)
}

// find returns an entry by its normalised name. A name that was stored without being normalised is found by itself.
func (x *Directory) find(ctx context.Context, name string) (page.Entry, error) {
	nfc, err := CheckName(name)
	if err != nil {
		return page.Entry{}, err
	}
	e, err := x.tree().lookup(ctx, nfc)
	if nfc != name && notFound(err) {
		return x.tree().lookup(ctx, name)
	}
	return e, err
}

// List returns up to limit entries in the order of their names, bytewise, those that come after the given name; from the
// first for the empty name. Fewer than limit come only at the end.
func (x *Directory) List(ctx context.Context, after string, limit int) ([]Entry, error) {
	var out []Entry
	var failed error
	err := x.tree().entries(ctx, after, int64(limit), func(e page.Entry) bool {
		var entry Entry
		if entry, failed = x.entry(e); failed != nil {
			return false
		}
		out = append(out, entry)
		return len(out) < limit
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return out, nil
}

// All returns all entries in the order of their names. An error ends it; the entry beside it means nothing.
func (x *Directory) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		more := true
		err := x.tree().entries(ctx, "", x.Len(), func(e page.Entry) bool {
			entry, err := x.entry(e)
			more = yield(entry, err) && err == nil
			return more
		})
		if err != nil && more {
			yield(Entry{}, fmt.Errorf("list: %w", err))
		}
	}
}

// entry gives the capability of an entry the strength that the reader may have.
func (x *Directory) entry(e page.Entry) (Entry, error) {
	out := Entry{Name: e.Name, Metadata: e.Metadata}
	var err error
	if x.sealer != nil {
		out.Capability, err = x.sealer.Open(e)
	} else {
		out.Capability, err = page.Open(e)
	}
	if err == nil && x.c.Kind() == capability.KindIDir {
		err = onlyImmutable(e, out.Capability)
	}
	return out, err
}

// onlyImmutable refuses what makes an immutable directory change. Unknown kinds are not opened by anybody.
func onlyImmutable(e page.Entry, c capability.Capability) error {
	if len(e.Sealed) > 0 || c.Kind() != capability.KindUnknown && !page.Immutable(c) {
		return fmt.Errorf("entry %.300q: %w: %w: this is %s", e.Name, share.ErrCorrupt, ErrMutable, c.Kind().Noun())
	}
	return nil
}

func (x *Directory) tree() *tree { return &tree{fetch: x.fetch, root: x.root} }

// fetch returns pages, those that a merge made from memory.
func (x *Directory) fetch(ctx context.Context, refs []page.Ref) ([]page.Page, error) {
	if x.merge == nil || len(x.merge.added) == 0 {
		return x.d.fetch(ctx, x.c, refs)
	}
	pages := make([]page.Page, len(refs))
	var others []page.Ref
	for i, ref := range refs {
		added, ok := x.merge.added[ref.Index]
		if !ok {
			others = append(others, ref)
			continue
		}
		p, err := page.Parse(added.Data)
		if err != nil {
			return nil, err
		}
		pages[i] = p
	}
	if len(others) == 0 {
		return pages, nil
	}
	stored, err := x.d.fetch(ctx, x.c, others)
	if err != nil {
		return nil, err
	}
	for i, ref := range refs {
		if _, ok := x.merge.added[ref.Index]; !ok {
			pages[i], stored = stored[0], stored[1:]
		}
	}
	return pages, nil
}
