// Package tree is what a person does with paths: it finds, lists, makes, moves and removes what directories lead to.
//
// A path begins at a capability, the root. What is reached through a directory that is open for reading only can be read
// only, whatever it leads to. Directories may contain each other; whatever goes through a tree visits each of them once.
package tree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cairn/grid/dir"
	"cairn/share"
	"cairn/share/capability"
)

// A Tree works with paths over directories. It is safe for concurrent use.
type Tree struct {
	dirs *dir.Dirs
	now  func() time.Time
}

// New returns the paths over these directories.
func New(dirs *dir.Dirs) *Tree { return &Tree{dirs: dirs, now: time.Now} }

// A Node is what a path leads to.
type Node struct {
	// Path are the names from the root on; empty for the root itself.
	Path []string
	// Entry is the entry of the last name. At the root it has a capability and nothing else.
	Entry dir.Entry
	// Parent is the strongest capability held for the directory that the entry is in; zero at the root.
	Parent capability.Capability
}

// Directory reports whether the node is a directory.
func (n Node) Directory() bool { return IsDirectory(n.Entry.Capability) }

// Resolve returns what a path leads to. The errors are *PathErrors that wrap share.ErrNotFound, ErrNotDirectory,
// capability.ErrAuthority where a directory cannot be read, a *dir.NameError, and those of reading directories.
func (t *Tree) Resolve(ctx context.Context, root capability.Capability, path string) (Node, error) {
	names, slash, err := Split(path)
	if err != nil {
		return Node{}, err
	}
	n, err := t.resolve(ctx, root, names)
	if err == nil && slash && !n.Directory() {
		err = at(names, ErrNotDirectory)
	}
	return n, err
}

func (t *Tree) resolve(ctx context.Context, root capability.Capability, names []string) (Node, error) {
	n := Node{Entry: dir.Entry{Capability: root}}
	for i, name := range names {
		x, err := t.open(ctx, n.Entry.Capability, names[:i])
		if err != nil {
			return Node{}, err
		}
		entry, err := x.Lookup(ctx, name)
		if err != nil {
			return Node{}, at(names[:i+1], short(err))
		}
		n = Node{Path: names[:i+1], Entry: entry, Parent: n.Entry.Capability}
	}
	return n, nil
}

// short takes away what a look-up says of the name, which the path says already.
func short(err error) error {
	if errors.Is(err, share.ErrNotFound) {
		return share.ErrNotFound
	}
	return err
}

// open opens the directory at a path.
func (t *Tree) open(ctx context.Context, c capability.Capability, path []string) (*dir.Directory, error) {
	if err := listable(c); err != nil {
		return nil, at(path, err)
	}
	x, err := t.dirs.Open(ctx, c)
	return x, at(path, err)
}

// listable returns an error unless the capability opens a directory.
func listable(c capability.Capability) error {
	switch c.Kind() {
	case capability.KindDir, capability.KindDirRead, capability.KindIDir:
		return nil
	case capability.KindDirVerify, capability.KindIDirVerify:
		return fmt.Errorf("%w: this is %s, which checks and repairs it but does not list it; its read capability would", capability.ErrAuthority, c.Kind().Noun())
	case capability.KindUnknown:
		return fmt.Errorf("%w: it is of a kind that this version does not know", ErrNotDirectory)
	default:
		return ErrNotDirectory
	}
}

// Writable returns an error that says which capability is needed unless this one changes a directory.
func Writable(c capability.Capability) error {
	if err := listable(c); err != nil {
		return err
	}
	if c.Kind() == capability.KindDir {
		return nil
	}
	if c.Kind() == capability.KindIDir {
		return fmt.Errorf("%w: the directory is immutable, nobody can change it", share.ErrReadOnly)
	}
	return fmt.Errorf("%w: the directory is open for reading only here; its write capability (cairn:dir:…) would do", capability.ErrAuthority)
}

// parent returns the directory that a path's last name is in.
func (t *Tree) parent(ctx context.Context, root capability.Capability, names []string) (Node, error) {
	if len(names) == 0 {
		return Node{}, &PathError{Err: ErrRoot}
	}
	n, err := t.resolve(ctx, root, names[:len(names)-1])
	if err != nil {
		return Node{}, err
	}
	return n, at(n.Path, Writable(n.Entry.Capability))
}

// ErrRoot says that a path has no name that could be made, moved or removed.
var ErrRoot = errors.New("this is the root of the path, which is in no directory here")
