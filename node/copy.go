package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cairn/grid"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
)

func (a api) Copy(ctx context.Context, request control.CopyRequest, progress func(control.Progress)) (control.CopyResult, error) {
	from, n, err := a.resolve(ctx, request.Source)
	if err == nil && n.Directory() && !request.Recursive {
		err = &tree.PathError{Path: tree.Join(n.Path), Err: fmt.Errorf("%w, which is copied with -r only", tree.ErrIsDirectory)}
	}
	if err != nil {
		return control.CopyResult{}, from.explain(a.n, err)
	}
	to, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.CopyResult{}, err
	}
	path, was, err := a.copyTo(ctx, to, n, request.Exact)
	if err == nil {
		err = distinct(n, was, path)
	}
	if err == nil {
		err = a.n.names().Outside(ctx, n, tree.Place{Root: to.root, Path: path})
	}
	if err == nil && request.Keep && !was.Entry.Capability.IsZero() {
		err = &tree.PathError{Path: path, Err: share.ErrExists}
	}
	if err == nil {
		err = a.placeable(ctx, to, path)
	}
	if err != nil {
		return control.CopyResult{}, to.explain(a.n, err)
	}
	var done grid.Copied
	entry := n.Entry
	entry.Capability, done, err = a.n.grid.Copy(ctx, entry.Capability, grid.CopyOptions{
		Omit: a.n.home.omitted(n.Entry.Capability),
		Progress: func(c grid.Copied) {
			progress(control.Progress{Note: "copying", Done: int64(c.Files + c.Directories), Total: -1})
		},
	})
	if err != nil {
		if e, ok := errors.AsType[*tree.PathError](err); ok {
			err = &tree.PathError{Path: strings.TrimPrefix(tree.Join(n.Path)+"/"+e.Path, "/"), Err: e.Err}
		}
		return control.CopyResult{}, from.explain(a.n, err)
	}
	if entry.Name == "" {
		a.describe(ctx, &entry)
	}
	made, err := a.n.names().Link(ctx, to.root, path, entry, tree.LinkOptions{Replace: !request.Keep && !n.Directory()})
	if err != nil {
		return control.CopyResult{}, to.explain(a.n, err)
	}
	result := control.CopyResult{
		Entry: to.entry(made, false), Files: done.Files, Directories: done.Directories, Problems: done.Skipped, Skipped: []control.Skipped{},
	}
	for _, p := range done.Problems {
		result.Skipped = append(result.Skipped, control.Skipped{Path: p.Path, Error: p.Err.Error(), Cycle: errors.Is(p.Err, grid.ErrCycle)})
	}
	return result, nil
}

var errInTheWay = fmt.Errorf("%w: it is a directory, which a copy on the grid does not replace", share.ErrExists)

// copyTo returns the path of the copy, and what is there. An exact one is the target itself, and not inside it.
func (a api) copyTo(ctx context.Context, to place, n tree.Node, exact bool) (string, tree.Node, error) {
	path, was, err := a.moveTo(ctx, to, n, exact)
	if err == nil && exact && was.Directory() {
		err = &tree.PathError{Path: path, Err: errInTheWay}
	}
	return path, was, err
}
