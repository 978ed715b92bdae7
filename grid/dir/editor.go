package dir

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
)

// An Editor collects changes to one version of a directory, which are written together. It is used by one goroutine, and
// only until the function that it was given to returns.
type Editor struct {
	ctx     context.Context // of the Update
	base    *Directory
	changes map[string]*page.Entry // by name; nil where the name is removed
	insist  bool                   // write a version although nothing changes
	settles bool                   // the version makes no change, but settles what became of what was tried before
	anew    bool                   // all pages are stored anew

	retention share.Retention // from this version on; zero for that of the version before
	ended     bool            // no version follows
}

// Retain says which past versions of the directory are kept from this one on.
func (e *Editor) Retain(r share.Retention) {
	e.retention, e.insist = r, e.insist || r != e.base.Retention()
}

// Retention returns which past versions of the directory are kept from the version before on.
func (e *Editor) Retention() share.Retention { return e.base.Retention() }

// End makes this the last version of the directory: nothing in it can be changed afterwards.
func (e *Editor) End() { e.ended, e.insist = true, true }

// Anew stores every page of the directory anew, with the parameters that hold now.
func (e *Editor) Anew() { e.anew, e.insist = true, true }

// Get returns the entry of a name as it is with the changes made so far, share.ErrNotFound when there is none, or a
// *NameError.
func (e *Editor) Get(name string) (Entry, error) {
	raw, err := e.get(name)
	if err != nil {
		return Entry{}, fmt.Errorf("look up %.300q: %w", name, err)
	}
	return e.base.entry(raw)
}

func (e *Editor) get(name string) (page.Entry, error) {
	nfc, err := CheckName(name)
	if err != nil {
		return page.Entry{}, err
	}
	for _, n := range []string{nfc, name} {
		changed, ok := e.changes[n]
		switch {
		case ok && changed != nil:
			return *changed, nil
		case ok:
			continue
		}
		if raw, err := e.base.tree().lookup(e.ctx, n); err == nil || !notFound(err) {
			return raw, err
		}
	}
	return page.Entry{}, share.ErrNotFound
}

// Set puts an entry into the directory, in place of the one that has its name. The name is normalised. What the
// capability gives beyond reading goes to writers of the directory only; a read capability makes a link through which nobody
// writes. It returns a *NameError, or says what else no entry can hold.
func (e *Editor) Set(entry Entry) error {
	raw, err := e.raw(entry)
	if err != nil {
		return fmt.Errorf("entry %.300q: %w", entry.Name, err)
	}
	e.changes[raw.Name] = &raw
	return nil
}

// raw makes the form of an entry that is stored.
func (e *Editor) raw(entry Entry) (page.Entry, error) {
	nfc, err := CheckName(entry.Name)
	if err != nil {
		return page.Entry{}, err
	}
	raw := page.Entry{Name: nfc, Metadata: entry.Metadata}
	raw.User = maps.Clone(entry.User)
	if err := raw.Check(); err != nil {
		return page.Entry{}, err
	}
	switch {
	case entry.Capability.IsZero():
		return page.Entry{}, fmt.Errorf("%w: there is no capability to put there", capability.ErrAuthority)
	case e.base.sealer != nil:
		e.base.sealer.Seal(&raw, entry.Capability)
	case !page.Immutable(entry.Capability):
		return page.Entry{}, fmt.Errorf("%w: this is %s", ErrMutable, entry.Capability.Kind().Noun())
	default:
		raw.Capability = entry.Capability.Text()
	}
	return raw, nil
}

// Remove takes a name out of the directory. What it led to is left alone. It returns share.ErrNotFound when the name is
// not there.
func (e *Editor) Remove(name string) error {
	raw, err := e.get(name)
	if err != nil {
		return fmt.Errorf("remove %.300q: %w", name, err)
	}
	e.changes[raw.Name] = nil
	return nil
}

// Rename gives an entry another name. Where there is an entry of that name already, it is replaced if replace is set, and
// otherwise the error is share.ErrExists. It returns share.ErrNotFound when there is no entry of the old name.
func (e *Editor) Rename(from, to string, replace bool) error {
	if err := e.rename(from, to, replace); err != nil {
		return fmt.Errorf("rename %.300q to %.300q: %w", from, to, err)
	}
	return nil
}

func (e *Editor) rename(from, to string, replace bool) error {
	raw, err := e.get(from)
	if err != nil {
		return err
	}
	to, err = CheckName(to)
	if err != nil || to == raw.Name {
		return err
	}
	if _, err := e.get(to); !notFound(err) && (err != nil || !replace) {
		if err == nil {
			err = share.ErrExists
		}
		return err
	}
	moved, err := e.base.renamed(raw, to)
	if err != nil {
		return err
	}
	e.changes[raw.Name], e.changes[to] = nil, &moved
	return nil
}

// renamed returns the entry under another name. What is sealed is bound to the name, so it is sealed anew.
func (x *Directory) renamed(raw page.Entry, to string) (page.Entry, error) {
	moved := raw
	moved.Name = to
	switch {
	case len(raw.Sealed) == 0:
	case x.sealer != nil:
		c, err := x.sealer.Open(raw)
		if err != nil {
			return moved, err
		}
		x.sealer.Seal(&moved, c)
	case raw.Capability != "":
		moved.Sealed = nil // a reader who brings forks together cannot seal, nor open what is sealed
	}
	return moved, nil
}

// All returns all entries with the changes made so far, in the order of their names. The changes that are made meanwhile
// may or may not be seen. An error ends it; the entry beside it means nothing.
func (e *Editor) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for raw, err := range e.all() {
			var entry Entry
			if err == nil {
				entry, err = e.base.entry(raw)
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

func (e *Editor) all() iter.Seq2[page.Entry, error] {
	return func(yield func(page.Entry, error) bool) {
		names := slices.Sorted(maps.Keys(e.changes))
		more := true
		changed := func(until string, all bool) {
			for more && len(names) > 0 && (all || names[0] <= until) {
				if c := e.changes[names[0]]; c != nil {
					more = yield(*c, nil)
				}
				names = names[1:]
			}
		}
		err := e.base.tree().entries(e.ctx, "", e.base.Len(), func(raw page.Entry) bool {
			changed(raw.Name, false)
			if _, ok := e.changes[raw.Name]; !ok && more {
				more = yield(raw, nil)
			}
			return more
		})
		if err != nil && more {
			yield(page.Entry{}, fmt.Errorf("list: %w", err))
			return
		}
		changed("", true)
	}
}

// items returns the changes that make a difference, in the order of their names.
func (e *Editor) items() ([]item, error) {
	names := slices.Sorted(maps.Keys(e.changes))
	if err := e.base.tree().warm(e.ctx, e.base.root, names); err != nil {
		return nil, err
	}
	var out []item
	for _, name := range names {
		changed := e.changes[name]
		was, err := e.base.tree().lookup(e.ctx, name)
		switch {
		case err != nil && !notFound(err):
			return nil, err
		case err != nil && changed == nil, err == nil && changed != nil && was.Equal(*changed):
			continue
		}
		out = append(out, item{key: name, entry: changed})
	}
	return out, nil
}
