package tree

import (
	"context"
	"errors"
	"strings"

	"cairn/grid/dir"
	"cairn/share/capability"
)

// ErrSkip makes a Walk leave out what is in a directory, where its function returns it for one.
var ErrSkip = errors.New("skip this directory")

// A Visit is one node of a walk.
type Visit struct {
	Node
	// Opened is the directory itself; nil for what is no directory, for one that was visited before, and
	// where Err is set.
	Opened *dir.Directory
	// Again says that the directory was visited before: it is not gone into a second time.
	Again bool
	// Err says why the directory cannot be listed. The walk goes on behind it.
	Err error
}

// Walk calls the function for a node and, if it is a directory, for everything below it: each directory before what is in it,
// entries in the order of their names, those that begin with a dot behind the others. Each directory is gone into once, so cycles end. An error of the function ends the
// walk and is returned. That a directory cannot be opened or read is told in a Visit and does not end it.
func (t *Tree) Walk(ctx context.Context, root capability.Capability, path string, visit func(Visit) error) error {
	n, err := t.Resolve(ctx, root, path)
	if err != nil {
		return err
	}
	w := walk{t: t, ctx: ctx, visit: visit, seen: map[string]bool{}}
	return w.run(n)
}

// A walk goes through a tree with a stack of its own, however deep the tree is.
type walk struct {
	t     *Tree
	ctx   context.Context
	visit func(Visit) error
	seen  map[string]bool
	stack []level
}

// A level is a directory that is being listed.
type level struct {
	node    Node
	x       *dir.Directory
	entries []dir.Entry // read but not visited yet
	later   []dir.Entry // with a dot in front; what they lead to is found under its proper name first
	last    string      // the last name that was read
	end     bool
}

// pageEntries is how many entries of a directory are read at a time.
const pageEntries = 1000

func (w *walk) run(n Node) error {
	if err := w.enter(n); err != nil {
		return err
	}
	for len(w.stack) > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		top := &w.stack[len(w.stack)-1]
		for len(top.entries) == 0 && !top.end {
			if err := w.fill(top); err != nil {
				return err
			}
		}
		if len(top.entries) == 0 {
			top.entries, top.later = top.later, nil
		}
		if len(top.entries) == 0 {
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		entry := top.entries[0]
		top.entries = top.entries[1:]
		path := append(top.node.Path[:len(top.node.Path):len(top.node.Path)], entry.Name)
		if err := w.enter(Node{Path: path, Entry: entry, Parent: top.node.Entry.Capability}); err != nil {
			return err
		}
	}
	return nil
}

// fill reads the next entries of a directory.
func (w *walk) fill(l *level) error {
	entries, err := l.x.List(w.ctx, l.last, pageEntries)
	if err != nil {
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		l.end = true
		return w.visit(Visit{Node: l.node, Err: at(l.node.Path, err)})
	}
	l.end = len(entries) < pageEntries
	for _, e := range entries {
		if l.last = e.Name; strings.HasPrefix(e.Name, ".") {
			l.later = append(l.later, e)
		} else {
			l.entries = append(l.entries, e)
		}
	}
	return nil
}

// enter visits a node and, if it is a directory, prepares to list it.
func (w *walk) enter(n Node) error {
	v := Visit{Node: n}
	if n.Directory() {
		id := ID(n.Entry.Capability)
		if v.Again = w.seen[id]; !v.Again {
			w.seen[id] = true
			v.Opened, v.Err = w.t.open(w.ctx, n.Entry.Capability, n.Path)
			if w.ctx.Err() != nil {
				return w.ctx.Err()
			}
		}
	}
	err := w.visit(v)
	if errors.Is(err, ErrSkip) && n.Directory() {
		return nil
	}
	if err == nil && v.Opened != nil {
		w.stack = append(w.stack, level{node: n, x: v.Opened})
	}
	return err
}

// List calls the function for each entry of a directory behind a name, at most limit of them where that is not 0, in
// the order of their names.
func (t *Tree) List(ctx context.Context, n Node, after string, limit int, each func(Node) error) error {
	x, err := t.open(ctx, n.Entry.Capability, n.Path)
	if err != nil {
		return err
	}
	for {
		want := pageEntries
		if limit > 0 {
			want = min(want, limit)
		}
		entries, err := x.List(ctx, after, want)
		if err != nil {
			return at(n.Path, err)
		}
		for _, entry := range entries {
			path := append(n.Path[:len(n.Path):len(n.Path)], entry.Name)
			if err := each(Node{Path: path, Entry: entry, Parent: n.Entry.Capability}); err != nil {
				return err
			}
			after = entry.Name
		}
		if len(entries) < want || limit > 0 && limit <= len(entries) {
			return nil
		}
		if limit > 0 {
			limit -= len(entries)
		}
	}
}
