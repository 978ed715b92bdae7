package node

import (
	"context"
	"errors"
	"slices"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// resolve returns what a target leads to. Errors are still to be explained.
func (a api) resolve(ctx context.Context, target string) (place, tree.Node, error) {
	p, err := a.n.place(ctx, target)
	if err != nil {
		return p, tree.Node{}, err
	}
	n, err := a.n.names().Resolve(ctx, p.root, p.target.Path)
	return p, n, err
}

func (a api) Lookup(ctx context.Context, request control.LookupRequest) (control.Entry, error) {
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return control.Entry{}, p.explain(a.n, err)
	}
	e := a.shown(ctx, p, n, request.Capabilities, request.Links)
	if request.Links {
		e.Ended = a.ended(ctx, n.Entry.Capability)
	}
	return e, nil
}

// ended reports whether something has other keys by now. What cannot be found out is no: who reads it is told.
func (a api) ended(ctx context.Context, c capability.Capability) bool {
	if _, changes := c.Name(); !changes {
		return false
	}
	if tree.IsDirectory(c) {
		x, err := a.n.grid.Dirs().Open(ctx, c)
		return err == nil && x.Version().Ended
	}
	v, err := a.n.grid.Files().Read(ctx, c)
	return err == nil && v.Head.Ended
}

func (a api) List(ctx context.Context, request control.ListRequest, each func(control.Entry) error) error {
	ctx = dir.Once(ctx)
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return p.explain(a.n, err)
	}
	if p.target.Alias == control.HomeAlias && len(n.Path) == 0 && !a.n.home.exists(ctx) {
		if err := a.n.rootAway(); err != nil {
			return err
		}
		if request.Self {
			return each(a.shown(ctx, p, n, request.Capabilities, request.Links))
		}
		return nil // it is as good as empty
	}
	if request.Recursive {
		err = a.walk(ctx, p, request, each)
	} else {
		err = a.list(ctx, p, n, request, each)
	}
	return p.explain(a.n, err)
}

func (a api) list(ctx context.Context, p place, n tree.Node, request control.ListRequest, each func(control.Entry) error) error {
	if request.Self || !n.Directory() {
		e := a.shown(ctx, p, n, request.Capabilities, request.Links)
		e.Ended = n.Directory() && a.ended(ctx, n.Entry.Capability)
		if err := each(e); err != nil || !n.Directory() {
			return err
		}
	}
	return a.n.names().List(ctx, n, request.After, request.Limit, func(n tree.Node) error {
		return each(a.shown(ctx, p, n, request.Capabilities, request.Links))
	})
}

func (a api) walk(ctx context.Context, p place, request control.ListRequest, each func(control.Entry) error) error {
	top := -1
	return a.n.names().Walk(ctx, p.root, p.target.Path, func(v tree.Visit) error {
		first := top < 0
		if first {
			top = len(v.Path)
			if v.Err != nil {
				return v.Err
			}
			if !request.Self && v.Directory() {
				return nil
			}
		}
		e := a.shown(ctx, p, v.Node, request.Capabilities, request.Links)
		e.Again = v.Again
		e.Ended = v.Opened != nil && v.Opened.Version().Ended
		if v.Err != nil {
			err := v.Err
			if at, ok := errors.AsType[*tree.PathError](err); ok {
				err = at.Err // the entry has the path
			}
			e.Problem = err.Error()
		}
		if err := each(e); err != nil {
			return err
		}
		if request.Depth > 0 && len(v.Path)-top >= request.Depth && v.Directory() {
			return tree.ErrSkip
		}
		return nil
	})
}

func (a api) Mkdir(ctx context.Context, request control.MkdirRequest, _ func(control.Progress)) (control.Entry, error) {
	ctx = dir.Once(ctx)
	p, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.Entry{}, err
	}
	mkdir := a.n.names().Mkdir
	if request.Parents {
		mkdir = a.n.names().MkdirAll
	}
	n, err := mkdir(ctx, p.root, p.target.Path)
	if err != nil {
		return control.Entry{}, p.explain(a.n, err)
	}
	return p.entry(n, true), nil
}

// destination returns the path at which something is to be put: a directory, or a path that ends with a slash, gets a name
// below it.
func (a api) destination(ctx context.Context, p place, name string) (path string, was tree.Node, err error) {
	names, slash, err := tree.Split(p.target.Path)
	if err != nil {
		return "", was, err
	}
	was, err = a.n.names().Resolve(ctx, p.root, tree.Join(names))
	switch {
	case err == nil && was.Directory():
		if name == "" {
			return "", was, &control.Error{Code: control.CodeMalformed, Message: p.path(names) + " is a directory: name the file in it"}
		}
		path = tree.Join(append(slices.Clone(names), name))
		was, err = a.n.names().Resolve(ctx, p.root, path)
	case err == nil && slash:
		return "", was, &tree.PathError{Path: tree.Join(names), Err: tree.ErrNotDirectory}
	case slash:
		return "", was, err
	default:
		path = tree.Join(names)
	}
	if errors.Is(err, share.ErrNotFound) {
		was, err = tree.Node{}, nil
	}
	return path, was, err
}

func (a api) Link(ctx context.Context, request control.LinkRequest) (control.Entry, error) {
	ctx = dir.Once(ctx)
	from, n, err := a.resolve(ctx, request.Source)
	if err != nil {
		return control.Entry{}, from.explain(a.n, err)
	}
	entry := n.Entry
	if request.ReadOnly {
		if entry.Capability, err = entry.Capability.Read(); err != nil {
			return control.Entry{}, from.explain(a.n, err)
		}
	}
	to, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.Entry{}, err
	}
	path, was, err := a.destination(ctx, to, entry.Name)
	if err == nil {
		err = distinct(n, was, path)
	}
	if err == nil && n.Directory() && from.target.Text() == to.target.Text() { // it would be inside itself
		err = &tree.PathError{Path: tree.Join(n.Path), Err: errSame}
	}
	if err == nil {
		err = a.spare(ctx, to, path)
	}
	if err != nil {
		return control.Entry{}, to.explain(a.n, err)
	}
	if entry.Name == "" { // no directory has told
		a.describe(ctx, &entry)
	}
	linked, err := a.n.names().Link(ctx, to.root, path, entry, tree.LinkOptions{Replace: request.Replace})
	if err != nil {
		return control.Entry{}, to.explain(a.n, err)
	}
	return to.entry(linked, true), nil
}

// describe fills in what the grid tells of a file of which no directory has told.
func (a api) describe(ctx context.Context, e *dir.Entry) {
	if tree.IsDirectory(e.Capability) || e.Capability.Kind() == capability.KindUnknown {
		return
	}
	if s, err := a.n.grid.Stat(ctx, e.Capability); err == nil {
		e.Size = s.Size
	}
}

func (a api) Move(ctx context.Context, request control.MoveRequest) (control.Entry, error) {
	ctx = dir.Once(ctx)
	from, n, err := a.resolve(ctx, request.Source)
	if err == nil {
		err = removable(n)
	}
	if err == nil {
		err = a.spare(ctx, from, from.target.Path)
	}
	if err != nil {
		return control.Entry{}, from.explain(a.n, err)
	}
	to, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.Entry{}, err
	}
	path, was, err := a.moveTo(ctx, to, n, request.Exact)
	if err == nil {
		err = distinct(n, was, path)
	}
	if err != nil {
		return control.Entry{}, to.explain(a.n, err)
	}
	if err := a.spare(ctx, to, path); err != nil {
		return control.Entry{}, err
	}
	moved, err := a.n.names().Move(ctx, tree.Place{Root: from.root, Path: from.target.Path}, tree.Place{Root: to.root, Path: path},
		tree.MoveOptions{Replace: !request.Keep})
	if err != nil {
		return control.Entry{}, to.explain(a.n, err)
	}
	return to.entry(moved, false), nil
}

// moveTo returns the path at which a node is to be put, and what is there. An exact one is the target itself, and so is the new name of
// a directory with a slash behind it.
func (a api) moveTo(ctx context.Context, to place, n tree.Node, exact bool) (string, tree.Node, error) {
	if !exact {
		path, was, err := a.destination(ctx, to, n.Entry.Name)
		if !n.Directory() || !errors.Is(err, share.ErrNotFound) {
			return path, was, err
		}
	}
	names, _, err := tree.Split(to.target.Path)
	if err != nil {
		return "", tree.Node{}, err
	}
	was, err := a.n.names().Resolve(ctx, to.root, tree.Join(names))
	if errors.Is(err, share.ErrNotFound) {
		was, err = tree.Node{}, nil
	}
	return tree.Join(names), was, err
}

var errSame = errors.New("source and target are the same")

// distinct returns an error when what is to be put at a path is what is there, under the same name in the same directory.
func distinct(n, was tree.Node, path string) error {
	if len(n.Path) > 0 && tree.ID(n.Parent) == tree.ID(was.Parent) && n.Entry.Name == was.Entry.Name {
		return &tree.PathError{Path: path, Err: errSame}
	}
	return nil
}

// removable returns an error unless a node's name can be taken out of its directory.
func removable(n tree.Node) error {
	if len(n.Path) == 0 {
		return &tree.PathError{Err: tree.ErrRoot}
	}
	if err := tree.Writable(n.Parent); err != nil {
		return &tree.PathError{Path: tree.Join(n.Path[:len(n.Path)-1]), Err: err}
	}
	return nil
}

func (a api) Remove(ctx context.Context, request control.RemoveRequest) (control.Entry, error) {
	ctx = dir.Once(ctx)
	p, err := a.n.place(ctx, request.Target)
	if err != nil {
		return control.Entry{}, err
	}
	if !request.Force {
		if err := a.spare(ctx, p, p.target.Path); err != nil {
			return control.Entry{}, err
		}
	}
	n, err := a.n.names().Unlink(ctx, p.root, p.target.Path, tree.UnlinkOptions{Directories: request.Recursive, Empty: request.Empty})
	if err != nil {
		return control.Entry{}, p.explain(a.n, err)
	}
	return p.entry(n, false), nil
}
