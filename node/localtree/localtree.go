// Package localtree reads folders of this machine the way copies and backups need it: every entry once and in a fixed
// order, nothing followed that was not asked for, and what cannot be read named instead of fatal.
package localtree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxDepth is how many folders deep a walk goes. What lies deeper is a Problem.
const MaxDepth = 4000

// The reasons of a Problem that are not the system's.
var (
	// ErrKind says that something is no file, folder or link, such as a device, a socket or a pipe.
	ErrKind = errors.New("neither a file nor a folder nor a link")
	// ErrName says that a name has no text form.
	ErrName = errors.New("the name is not valid UTF-8")
	// ErrDepth says that a folder lies deeper than MaxDepth.
	ErrDepth = fmt.Errorf("more than %d folders deep", MaxDepth)
	// ErrChanged says that a file was changed while it was read.
	ErrChanged = errors.New("changed while it was read")
	// ErrSkip is what Enter returns so that a folder is passed over: what it holds is not visited, and Leave is not called.
	ErrSkip = errors.New("skip this folder")
	// ErrNoFolder says that a walk was asked for where there is no folder.
	ErrNoFolder = errors.New("not a folder")
)

// A Kind is what an Entry is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota
	Folder
	Link // a symbolic link; it is never followed
)

// An Entry is one thing in the tree as it was when the walk came by.
type Entry struct {
	// Path is relative to the folder that the walk began with, with slashes; the folder itself is ".".
	Path       string
	Kind       Kind
	Size       int64
	Modified   time.Time
	Executable bool
	Target     string // where a Link points, as it stands there
	// ID changes whenever the file does, as far as the system tells.
	ID ID
}

// An ID tells whether a file is still the same: where it is on its disk, and when its contents or attributes were
// last changed. Systems that do not tell leave it zero.
type ID struct {
	Device, Inode uint64
	Changed       int64 // nanoseconds since 1970
}

// sameFile reports whether two IDs are of one file or folder, whether it was changed or not.
func (id ID) sameFile(other ID) bool { return id.Device == other.Device && id.Inode == other.Inode }

// Same reports whether the entry is very likely the same file with the same contents as another that was seen earlier:
// size, time of modification and ID agree.
func (e Entry) Same(earlier Entry) bool {
	return e.Kind == earlier.Kind && e.Size == earlier.Size && e.Modified.Equal(earlier.Modified) && e.ID == earlier.ID &&
		e.Target == earlier.Target
}

// A Problem names something that a walk passed over.
type Problem struct {
	Path string // as in Entry
	Err  error
}

func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap returns the cause.
func (p Problem) Unwrap() error { return p.Err }

// Options say what a walk leaves out.
type Options struct {
	// Exclude are patterns of what is left out; see Filter.
	Exclude []string
	// Caches leaves out the contents of folders that are marked as caches by a file CACHEDIR.TAG
	// (https://bford.info/cachedir/).
	Caches bool
	// OneFileSystem leaves out the contents of folders where another file system is mounted.
	OneFileSystem bool
	// Larger, if not 0, leaves out files of more than so many bytes.
	Larger int64
}

// A Visitor is told of a tree's entries. An error from any of its methods but ErrSkip ends the walk.
type Visitor interface {
	// Enter is called for a folder before what it holds.
	Enter(Entry) error
	// Visit is called for a file or link.
	Visit(Entry) error
	// Leave is called for a folder after what it holds.
	Leave(Entry) error
	// Problem is called for what cannot be read; the walk goes on.
	Problem(Problem)
}

// A Tree is a folder of this machine. It is safe for concurrent use. What it opens lies inside the folder, wherever links
// point and whoever moves things about meanwhile.
type Tree struct {
	name    string
	root    *os.Root
	options Options
	filter  *Filter
	device  uint64
}

// Open opens a folder; a link to a folder is followed here and nowhere else. It returns ErrNoFolder where there is something
// else, and a *PatternError.
func Open(name string, o Options) (*Tree, error) {
	filter, err := NewFilter(o.Exclude)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, ErrNoFolder)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Tree{name: name, root: root, options: o, filter: filter, device: idOf(info).Device}, nil
}

// Close closes the folder. Files that were opened stay open.
func (t *Tree) Close() error { return t.root.Close() }

// Walk visits the folder and everything below it, each folder's entries in the order of their names. It returns the
// visitor's first error, that of the context, or that of the folder itself; everything else is a Problem.
func (t *Tree) Walk(ctx context.Context, v Visitor) error {
	info, err := t.root.Stat(".")
	if err != nil {
		return Problem{t.name, cause(err)}
	}
	w := walk{Tree: t, visitor: v, ctx: ctx, near: base{t.root, ""}}
	return w.folder(EntryOf(".", info), 0)
}

type walk struct {
	*Tree
	visitor Visitor
	ctx     context.Context
	near    base
}

// A base is an open folder above what the walk is at. Opening by a path costs a step for each folder in it, and in deep trees these
// steps would be most of the work.
type base struct {
	root *os.Root
	at   string // with a slash behind it, empty for the top
}

// baseEvery is how many folders lie between one base and the next.
const baseEvery = 32

// rel returns a path from the base on.
func (b base) rel(at string) string {
	if at+"/" == b.at {
		return "."
	}
	return strings.TrimPrefix(at, b.at)
}

func (w *walk) folder(e Entry, depth int) error {
	if depth == 0 || depth%baseEvery != 0 {
		return w.visit(e, depth)
	}
	root, err := w.near.root.OpenRoot(w.near.rel(e.Path))
	if err != nil {
		return w.visit(e, depth) // which meets the same error, and tells it
	}
	defer root.Close()
	above := w.near
	defer func() { w.near = above }()
	w.near = base{root, e.Path + "/"}
	return w.visit(e, depth)
}

func (w *walk) visit(e Entry, depth int) error {
	if err := w.visitor.Enter(e); errors.Is(err, ErrSkip) {
		return nil
	} else if err != nil {
		return err
	}
	names, err := w.names(e, depth)
	if err != nil {
		w.visitor.Problem(Problem{e.Path, err})
	}
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(e, name, depth); err != nil {
			return err
		}
	}
	return w.visitor.Leave(e)
}

// names returns what is to be visited in a folder.
func (w *walk) names(e Entry, depth int) ([]string, error) {
	if depth > MaxDepth {
		return nil, ErrDepth
	}
	if w.options.OneFileSystem && e.ID.Device != w.device {
		return nil, nil
	}
	// Whatever was put in the folder's place since must not block: a pipe would.
	dir, err := w.near.root.OpenFile(w.near.rel(e.Path), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() || !e.ID.sameFile(idOf(info)) {
		return nil, cmp.Or(cause(err), ErrChanged)
	}
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	if w.options.Caches && slices.Contains(names, cacheTag) && w.isCache(e) {
		return nil, nil
	}
	return names, cause(err) // with those that could be read
}

func (w *walk) entry(parent Entry, name string, depth int) error {
	at := path.Join(parent.Path, name)
	if !utf8.ValidString(name) {
		w.visitor.Problem(Problem{strings.ToValidUTF8(at, "\uFFFD"), ErrName})
		return nil
	}
	info, err := w.near.root.Lstat(w.near.rel(at))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since the folder was listed
	}
	if err != nil {
		w.visitor.Problem(Problem{at, cause(err)})
		return nil
	}
	e := EntryOf(at, info)
	if w.filter.Excludes(at, info.IsDir()) {
		return nil
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return w.folder(e, depth+1)
	case mode.IsRegular():
		if w.options.Larger > 0 && e.Size > w.options.Larger {
			return nil
		}
		return w.visitor.Visit(e)
	case mode&fs.ModeSymlink != 0:
		if e.Target, err = w.near.root.Readlink(w.near.rel(at)); err != nil {
			w.visitor.Problem(Problem{at, cause(err)})
			return nil
		}
		return w.visitor.Visit(e)
	}
	w.visitor.Problem(Problem{at, ErrKind})
	return nil
}

// EntryOf describes what a path leads to. Of a link it does not tell where that points.
func EntryOf(at string, info fs.FileInfo) Entry {
	e := Entry{Path: at, Size: info.Size(), Modified: info.ModTime(), Executable: info.Mode()&0o111 != 0, ID: idOf(info)}
	switch {
	case info.IsDir():
		e.Kind, e.Size, e.Executable = Folder, 0, false
	case info.Mode()&fs.ModeSymlink != 0:
		e.Kind, e.Executable = Link, false // a link's permissions mean nothing
	}
	return e
}

// cause strips what the caller of a Problem knows: the operation and the path.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
