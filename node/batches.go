package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

func (a api) PutBatch(ctx context.Context, files [][]byte) ([]capability.Capability, error) {
	ctx, err := a.n.copies(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := a.n.grid.PutBatch(ctx, files)
	return stored, a.n.explainBucket(err)
}

func (a api) GetBatch(ctx context.Context, caps []capability.Capability) ([]control.Fetched, error) {
	data, errs, err := a.n.grid.GetBatch(ctx, caps)
	fetched := make([]control.Fetched, len(data))
	for i := range data {
		fetched[i] = control.Fetched{Data: data[i], Err: errs[i]}
	}
	return fetched, err
}

func (a api) Outgrown(ctx context.Context, caps []capability.Capability) (control.Outgrown, error) {
	which, wanted, err := a.n.grid.Outgrown(ctx, caps)
	return control.Outgrown{Wanted: wanted, Which: which}, err
}

// Fill puts items into a directory.
func (a api) Fill(ctx context.Context, request control.FillRequest) (control.Filled, error) {
	ctx, err := a.n.copies(dir.Once(ctx))
	if err != nil {
		return control.Filled{}, err
	}
	var now time.Time // what never changes has no times of its own, so that the same tree is the same directory
	if request.Target != "" || request.Detached {
		now = time.Now()
	}
	entries, err := entriesOf(request.Items, now)
	if err != nil {
		return control.Filled{}, err
	}
	if request.Target == "" {
		create := a.n.grid.Dirs().CreateImmutable
		if request.Detached {
			create = a.n.grid.Dirs().Create
		}
		c, err := create(ctx, each(entries))
		if err != nil {
			return control.Filled{}, err
		}
		return control.Filled{Entry: place{root: c}.entry(tree.Node{Entry: dir.Entry{Capability: c}}, true)}, nil
	}
	p, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.Filled{}, err
	}
	n, skipped, err := a.fill(ctx, p, request, entries)
	if err != nil {
		return control.Filled{}, p.explain(a.n, err)
	}
	return control.Filled{Entry: p.entry(n, true), Skipped: skipped}, nil
}

func (a api) fill(ctx context.Context, p place, request control.FillRequest, entries []dir.Entry) (tree.Node, []control.Skipped, error) {
	names := a.n.names()
	n, err := names.Resolve(ctx, p.root, p.target.Path)
	switch {
	case errors.Is(err, share.ErrNotFound):
		n, err = names.MkdirAll(ctx, p.root, p.target.Path)
	case err == nil && !n.Directory():
		err = &tree.PathError{Path: p.target.Path, Err: fmt.Errorf("%w: it is a file", tree.ErrNotDirectory)}
	}
	if err == nil {
		err = tree.Writable(n.Entry.Capability)
	}
	if err != nil || len(entries) == 0 {
		return n, nil, err
	}
	var skipped []control.Skipped
	_, err = a.n.grid.Dirs().Update(ctx, n.Entry.Capability, func(e *dir.Editor) error {
		skipped = nil // of an attempt that collided
		for _, entry := range entries {
			if slices.Contains(a.n.home.omitted(n.Entry.Capability), entry.Name) {
				skipped = append(skipped, control.Skipped{Path: entry.Name, Error: control.ErrInternals.Error()})
				continue
			}
			err := fillOne(e, entry, request.Keep)
			if taken, ok := errors.AsType[takenError](err); ok {
				skipped = append(skipped, control.Skipped{Path: entry.Name, Error: taken.Error()})
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return n, skipped, err
}

// A takenError says that a name is taken by what is not replaced.
type takenError string

func (e takenError) Error() string { return string(e) }

// fillOne puts one entry into a directory. One that is the same but for the time of its change is left alone, so that filling a
// directory again with what it holds writes nothing.
func fillOne(e *dir.Editor, entry dir.Entry, keep bool) error {
	was, err := e.Get(entry.Name)
	switch {
	case errors.Is(err, share.ErrNotFound):
		return e.Set(entry)
	case err != nil || keep:
		return err
	case tree.IsDirectory(was.Capability) && !tree.IsDirectory(entry.Capability):
		return takenError("there is a directory of that name, which a file does not replace")
	case !tree.IsDirectory(was.Capability) && tree.IsDirectory(entry.Capability):
		return takenError("there is a file of that name, which a directory does not replace")
	case was.Capability.Kind() == capability.KindDir && tree.ID(was.Capability) != tree.ID(entry.Capability):
		return takenError("somebody has made a directory of that name meanwhile; the same command again copies into it")
	}
	entry.Created, entry.User = was.Created, was.User
	same := entry
	same.Changed = was.Changed
	if tree.ID(was.Capability) != "" && tree.ID(was.Capability) == tree.ID(entry.Capability) || was.Capability.Equal(entry.Capability) {
		same.Capability = was.Capability
		if same.Metadata.Equal(was.Metadata) {
			return nil
		}
	}
	return e.Set(entry)
}

func entriesOf(items []control.Item, now time.Time) ([]dir.Entry, error) {
	entries := make([]dir.Entry, len(items))
	for i, item := range items {
		c, err := capability.Parse(item.Capability)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", item.Name, err)
		}
		entries[i] = dir.Entry{Name: item.Name, Capability: c, Metadata: dir.Metadata{
			Size: item.Size, Modified: item.Modified, Created: now, Changed: now,
			ContentType: item.ContentType, Executable: item.Executable, User: item.User,
		}}
	}
	return entries, nil
}

func each(entries []dir.Entry) iter.Seq2[dir.Entry, error] {
	return func(yield func(dir.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
