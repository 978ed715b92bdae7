package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cairn/grid/dir"
	"cairn/share"
	"cairn/share/capability"
)

// Mkdir makes an empty directory. It returns share.ErrExists when something has the name.
func (t *Tree) Mkdir(ctx context.Context, root capability.Capability, path string) (Node, error) {
	names, _, err := Split(path)
	if err == nil && len(names) == 0 {
		err = &PathError{Err: share.ErrExists}
	}
	if err != nil {
		return Node{}, err
	}
	in, err := t.parent(ctx, root, names)
	if err != nil {
		return Node{}, err
	}
	return t.mkdir(ctx, in, names, len(names)-1)
}

// MkdirAll makes a directory and those above it that are not there. One that is there already is good, and so is one that somebody
// else makes meanwhile.
func (t *Tree) MkdirAll(ctx context.Context, root capability.Capability, path string) (Node, error) {
	names, _, err := Split(path)
	if err != nil {
		return Node{}, err
	}
	for {
		n, err := t.mkdirAll(ctx, root, names)
		if !errors.Is(err, share.ErrExists) {
			return n, err
		}
	}
}

func (t *Tree) mkdirAll(ctx context.Context, root capability.Capability, names []string) (Node, error) {
	n := Node{Entry: dir.Entry{Capability: root}}
	for i, name := range names {
		x, err := t.open(ctx, n.Entry.Capability, names[:i])
		if err != nil {
			return Node{}, err
		}
		entry, err := x.Lookup(ctx, name)
		if errors.Is(err, share.ErrNotFound) {
			if err := Writable(n.Entry.Capability); err != nil {
				return Node{}, at(names[:i], err)
			}
			return t.mkdir(ctx, n, names, i)
		}
		if err != nil {
			return Node{}, at(names[:i+1], err)
		}
		n = Node{Path: names[:i+1], Entry: entry, Parent: n.Entry.Capability}
	}
	if !n.Directory() {
		return Node{}, at(names, ErrNotDirectory)
	}
	return n, nil
}

// mkdir makes the directories of names[first:] below one that is there. They are made from the last one up, so that what
// is seen of them is complete.
func (t *Tree) mkdir(ctx context.Context, in Node, names []string, first int) (Node, error) {
	var last Node
	var below []dir.Entry
	for i := len(names) - 1; i >= first; i-- {
		made, err := t.dirs.Create(ctx, each(below))
		if err != nil {
			return Node{}, at(names[:i+1], err)
		}
		entry := t.entry(names[i], made)
		if i == len(names)-1 {
			last = Node{Path: names, Entry: entry}
		} else if i == len(names)-2 {
			last.Parent = made
		}
		below = []dir.Entry{entry}
	}
	if len(names)-1 == first {
		last.Parent = in.Entry.Capability
	}
	_, err := t.dirs.Update(ctx, in.Entry.Capability, func(e *dir.Editor) error {
		if _, err := e.Get(names[first]); !errors.Is(err, share.ErrNotFound) {
			return at(names[:first+1], cmp.Or(err, share.ErrExists))
		}
		return e.Set(below[0])
	})
	return last, at(names[:first], err)
}

// entry returns a new entry for a thing that was just made.
func (t *Tree) entry(name string, c capability.Capability) dir.Entry {
	now := t.now()
	return dir.Entry{Name: name, Capability: c, Metadata: dir.Metadata{Modified: now, Created: now, Changed: now}}
}

// LinkOptions say what happens to what has the name already.
type LinkOptions struct {
	// Replace takes its place, unless it is a directory.
	Replace bool
	// Touch is called with the entry that is replaced, zero when there is none, and the one that takes its place, to change
	// the latter.
	Touch func(was dir.Entry, e *dir.Entry)
}

// Link puts an entry at a path, under the path's last name. Its time of change is now. It returns share.ErrExists when something has
// the name and is not to be replaced, and ErrIsDirectory when that is a directory.
func (t *Tree) Link(ctx context.Context, root capability.Capability, path string, entry dir.Entry, o LinkOptions) (Node, error) {
	names, _, err := Split(path)
	if err != nil {
		return Node{}, err
	}
	in, err := t.parent(ctx, root, names)
	if err != nil {
		return Node{}, err
	}
	var linked dir.Entry
	_, err = t.dirs.Update(ctx, in.Entry.Capability, func(e *dir.Editor) error {
		linked, err = t.link(e, names[len(names)-1], entry, o)
		return at(names, err)
	})
	return Node{Path: names, Entry: linked, Parent: in.Entry.Capability}, at(in.Path, err)
}

func (t *Tree) link(e *dir.Editor, name string, entry dir.Entry, o LinkOptions) (dir.Entry, error) {
	was, err := e.Get(name)
	switch {
	case errors.Is(err, share.ErrNotFound):
		was = dir.Entry{}
	case err != nil:
		return was, err
	case was.Capability.Equal(entry.Capability) && o.Touch == nil:
		return was, nil
	case !o.Replace:
		return was, share.ErrExists
	case IsDirectory(was.Capability):
		return was, ErrIsDirectory
	}
	entry.Name, entry.Changed = name, t.now()
	if entry.Created.IsZero() {
		entry.Created = entry.Changed
	}
	if o.Touch != nil {
		o.Touch(was, &entry)
	}
	return entry, e.Set(entry)
}

// Change changes the entry of a node in its directory; its capability and its name stay. Where the entry leads to something
// else meanwhile, it is left alone.
func (t *Tree) Change(ctx context.Context, n Node, change func(*dir.Entry)) error {
	if len(n.Path) == 0 {
		return nil
	}
	_, err := t.dirs.Update(ctx, n.Parent, func(e *dir.Editor) error {
		entry, err := e.Get(n.Entry.Name)
		if err != nil || ID(entry.Capability) != ID(n.Entry.Capability) {
			return nil //nolint:nilerr // what is gone needs no change
		}
		change(&entry)
		entry.Name = n.Entry.Name
		return e.Set(entry)
	})
	return at(n.Path[:len(n.Path)-1], err)
}

// Unlink takes a name out of its directory. What it leads to is left alone, and stays for who has its capability. A directory
// that is not empty is removed only if recursive is asked for; otherwise the error is ErrIsDirectory.
func (t *Tree) Unlink(ctx context.Context, root capability.Capability, path string, o UnlinkOptions) (Node, error) {
	names, slash, err := Split(path)
	if err != nil {
		return Node{}, err
	}
	in, err := t.parent(ctx, root, names)
	if err != nil {
		return Node{}, err
	}
	name := names[len(names)-1]
	if o.Empty && !o.Directories {
		if err := t.empty(ctx, in, name); err != nil {
			return Node{}, at(names, err)
		}
	}
	var was dir.Entry
	_, err = t.dirs.Update(ctx, in.Entry.Capability, func(e *dir.Editor) error {
		was, err = e.Get(name)
		switch {
		case err != nil:
			return at(names, short(err))
		case IsDirectory(was.Capability) && !o.Directories && !o.Empty:
			return at(names, ErrIsDirectory)
		case !IsDirectory(was.Capability) && slash:
			return at(names, ErrNotDirectory)
		}
		return e.Remove(was.Name)
	})
	return Node{Path: names, Entry: was, Parent: in.Entry.Capability}, at(in.Path, err)
}

// UnlinkOptions say what may be removed.
type UnlinkOptions struct {
	// Directories removes directories too, with whatever is in them.
	Directories bool
	// Empty removes directories that are empty. One that is not gives ErrNotEmpty. What others put into one at the same time is no
	// obstacle: it stays for who has the directory's capability.
	Empty bool
}

// ErrNotEmpty says that there is something in a directory.
var ErrNotEmpty = errors.New("the directory is not empty")

// empty returns an error when what an entry leads to is a directory with something in it.
func (t *Tree) empty(ctx context.Context, in Node, name string) error {
	x, err := t.dirs.Open(ctx, in.Entry.Capability)
	if err != nil {
		return err
	}
	e, err := x.Lookup(ctx, name)
	if err != nil || !IsDirectory(e.Capability) {
		return nil //nolint:nilerr // removing it says what is wrong
	}
	if x, err = t.dirs.Open(ctx, e.Capability); err != nil {
		return err
	}
	entries, err := x.List(ctx, "", 1)
	if err == nil && len(entries) > 0 {
		err = ErrNotEmpty
	}
	return err
}

// A Place is a path and where it begins.
type Place struct {
	Root capability.Capability
	Path string
}

// MoveOptions say what happens to what has the new name already.
type MoveOptions struct {
	// Replace takes its place, unless it is a directory.
	Replace bool
}

// Move gives what a path leads to another name, or another directory. In one directory that is one write. Between two the new
// name is written first: who looks in the middle of it, or after a crash, finds both. A directory cannot be moved into itself.
func (t *Tree) Move(ctx context.Context, from, to Place, o MoveOptions) (Node, error) {
	fromNames, slash, err := Split(from.Path)
	if err != nil {
		return Node{}, err
	}
	toNames, _, err := Split(to.Path)
	if err != nil {
		return Node{}, err
	}
	source, err := t.parent(ctx, from.Root, fromNames)
	if err != nil {
		return Node{}, err
	}
	moved, err := t.resolve(ctx, from.Root, fromNames)
	if err == nil && slash && !moved.Directory() {
		err = at(fromNames, ErrNotDirectory)
	}
	if err != nil {
		return Node{}, err
	}
	target, err := t.parent(ctx, to.Root, toNames)
	if err != nil {
		return Node{}, err
	}
	if err := t.Outside(ctx, moved, to); err != nil {
		return Node{}, err
	}
	n := Node{Path: toNames, Entry: moved.Entry, Parent: target.Entry.Capability}
	n.Entry.Name = toNames[len(toNames)-1]
	if ID(source.Entry.Capability) == ID(target.Entry.Capability) {
		return n, at(target.Path, t.rename(ctx, n, moved.Entry.Name, o))
	}
	return n, t.carry(ctx, moved, n, o)
}

// Outside returns an error when a place is inside of the directory that is to be moved or copied there.
func (t *Tree) Outside(ctx context.Context, moved Node, to Place) error {
	names, _, err := Split(to.Path)
	if err != nil || !moved.Directory() {
		return err
	}
	for i := range len(names) {
		above, err := t.resolve(ctx, to.Root, names[:i])
		if err != nil {
			return err
		}
		if ID(above.Entry.Capability) == ID(moved.Entry.Capability) {
			return at(moved.Path, errIntoItself)
		}
	}
	return nil
}

var errIntoItself = errors.New("a directory cannot be moved or copied into itself")

// rename gives an entry another name in its directory.
func (t *Tree) rename(ctx context.Context, n Node, from string, o MoveOptions) error {
	_, err := t.dirs.Update(ctx, n.Parent, func(e *dir.Editor) error {
		if err := t.free(e, n.Entry, from, o); err != nil {
			return at(n.Path, err)
		}
		if err := e.Rename(from, n.Entry.Name, true); err != nil {
			return err
		}
		entry, err := e.Get(n.Entry.Name)
		if err != nil || from == n.Entry.Name {
			return err
		}
		entry.Changed = t.now()
		return e.Set(entry)
	})
	return err
}

// free returns an error when a name is taken by what is not to be replaced by the entry. from is where the entry is now,
// empty if that is in another directory.
func (t *Tree) free(e *dir.Editor, entry dir.Entry, from string, o MoveOptions) error {
	was, err := e.Get(entry.Name)
	switch {
	case errors.Is(err, share.ErrNotFound), err == nil && was.Name == from:
		return nil
	case err != nil:
		return err
	case !o.Replace:
		return share.ErrExists
	case IsDirectory(was.Capability):
		return fmt.Errorf("%w: it is a directory; remove it first", share.ErrExists)
	case IsDirectory(entry.Capability):
		return fmt.Errorf("%w and is a file, which a directory does not replace", share.ErrExists)
	}
	return nil
}

// carry moves an entry to another directory.
func (t *Tree) carry(ctx context.Context, from, to Node, o MoveOptions) error {
	_, err := t.dirs.Update(ctx, to.Parent, func(e *dir.Editor) error {
		if err := t.free(e, to.Entry, "", o); err != nil {
			return at(to.Path, err)
		}
		entry := to.Entry
		entry.Changed = t.now()
		return e.Set(entry)
	})
	if err != nil {
		return at(to.Path[:len(to.Path)-1], err)
	}
	_, err = t.dirs.Update(ctx, from.Parent, func(e *dir.Editor) error {
		entry, err := e.Get(from.Entry.Name)
		if err != nil || !entry.Capability.Equal(from.Entry.Capability) {
			return nil //nolint:nilerr // somebody removed or replaced it meanwhile
		}
		return e.Remove(entry.Name)
	})
	return at(from.Path[:len(from.Path)-1], err)
}

// each yields entries as the directories want them.
func each(entries []dir.Entry) func(yield func(dir.Entry, error) bool) {
	return func(yield func(dir.Entry, error) bool) {
		for e := range slices.Values(entries) {
			if !yield(e, nil) {
				return
			}
		}
	}
}
