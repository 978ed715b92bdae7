package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func (a api) OpenAt(ctx context.Context, target string) (control.File, control.Entry, error) {
	p, n, err := a.resolve(ctx, target)
	if err == nil && n.Directory() {
		err = tree.ErrIsDirectory
	}
	if err == nil && isLink(n.Entry) {
		err = errLink
	}
	if err != nil {
		return nil, control.Entry{}, p.explain(a.n, err)
	}
	file, err := a.n.grid.Open(ctx, n.Entry.Capability)
	if err != nil {
		return nil, control.Entry{}, p.explain(a.n, err)
	}
	e := p.entry(n, false)
	e.Size = file.Size()
	explained, err := a.n.explained(file, nil)
	return explained, e, err
}

var errLink = errors.New("it is a symbolic link, and nothing on the grid follows those")

var errNoHistory = &control.Error{
	Code: control.CodeMalformed, Message: "only a mutable file has past versions that can be kept", Hint: "store it with --mutable",
}

var errCopyChanges = &control.Error{
	Code: control.CodeMalformed, Message: "keep a copy: a file that can be changed is not copied to the bucket",
	Hint: "store it without --mutable, or without --keep-copy",
}

// PutAt stores a file and puts it under its target.
func (a api) PutAt(ctx context.Context, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	ctx = dir.Once(ctx)
	if control.CopyWishOf(ctx) == control.CopyToS3 && (request.Mutable || request.Patch != nil) {
		return control.PutResult{}, errCopyChanges
	}
	company := a.n.company()
	if !request.Alone {
		if err := a.n.mayStore(company); err != nil {
			return control.PutResult{}, err
		}
	}
	defer a.n.standings.expire()
	if request.Target == "" {
		result, err := a.putMutable(ctx, r, request, progress)
		return a.n.told(ctx, company, result, err)
	}
	p, err := a.n.writable(ctx, request.Target)
	if err != nil {
		return control.PutResult{}, err
	}
	if request.Metadata.Modified.IsZero() {
		request.Metadata.Modified = time.Now()
	}
	result, err := a.putAt(ctx, p, r, request, progress)
	return a.n.told(ctx, company, result, p.explain(a.n, err))
}

func (a api) putAt(ctx context.Context, p place, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	path, was, err := a.destination(ctx, p, request.Name)
	if err != nil {
		return control.PutResult{}, err
	}
	exists := !was.Entry.Capability.IsZero()
	_, changes := was.Entry.Capability.Name()
	switch {
	case exists && was.Directory():
		return control.PutResult{}, &tree.PathError{Path: path, Err: tree.ErrIsDirectory}
	case exists && request.Keep:
		return control.PutResult{}, &tree.PathError{Path: path, Err: share.ErrExists}
	case exists && changes && control.CopyWishOf(ctx) == control.CopyToS3:
		return control.PutResult{}, errCopyChanges
	case exists && changes:
		return a.overwrite(ctx, p, was, r, request, progress)
	case request.Retention != (control.Retention{}) && !request.Mutable:
		return control.PutResult{}, errNoHistory
	case path == "":
		return control.PutResult{}, errors.New("it is immutable: store the file under a new name, or without a target")
	case request.Patch != nil && exists:
		return control.PutResult{}, fmt.Errorf("%w: the file is immutable; only a mutable one (put --mutable) can be changed in part", share.ErrReadOnly)
	case request.Patch != nil:
		return control.PutResult{}, &tree.PathError{Path: path, Err: share.ErrNotFound}
	}
	if err := a.placeable(ctx, p, path); err != nil { // before all of it is sent
		return control.PutResult{}, err
	}
	store := a.Put
	if request.Mutable {
		store = a.putMutable
	}
	result, err := store(ctx, r, request, progress)
	if err != nil {
		return result, err
	}
	c, err := capability.Parse(result.Capability)
	if err != nil {
		return result, err
	}
	entry := dir.Entry{Capability: c, Metadata: metadataOf(request.Metadata, result.Size)}
	_, err = a.n.names().Link(ctx, p.root, path, entry, tree.LinkOptions{Replace: !request.Keep, Touch: func(old dir.Entry, e *dir.Entry) {
		if !old.Created.IsZero() {
			e.Created = old.Created
		}
	}})
	result.Path = p.path([]string{path})
	return result, err
}

// placeable returns an error unless something can be put at a path.
func (a api) placeable(ctx context.Context, p place, path string) error {
	names, _, err := tree.Split(path)
	if err != nil {
		return err
	}
	if err := a.spare(ctx, p, path); err != nil {
		return err
	}
	above := tree.Join(names[:len(names)-1])
	n, err := a.n.names().Resolve(ctx, p.root, above)
	if err != nil {
		return err
	}
	if err := tree.Writable(n.Entry.Capability); err != nil {
		return &tree.PathError{Path: above, Err: err}
	}
	return nil
}

func metadataOf(m control.Metadata, size int64) dir.Metadata {
	return dir.Metadata{Size: size, Modified: m.Modified, ContentType: m.ContentType, Executable: m.Executable, User: m.User}
}

// counted shows how much of a stream was read.
type counted struct {
	r        io.Reader
	n, total int64
	progress func(control.Progress)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.progress(control.Progress{Note: "storing", Done: c.n, Total: c.total})
	return n, err
}

// putMutable stores a new mutable file.
func (a api) putMutable(ctx context.Context, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	request.Params = a.paramsOf(ctx, request)
	key := keys.NewWriteKey()
	o := mutable.WriteOptions{Params: request.Params}
	var err error
	if o.Retention, err = retention(request.Retention, a.n.config.Retention()); err != nil {
		return control.PutResult{}, err
	}
	v, err := a.n.grid.Files().Write(ctx, key, nil, &counted{r: r, total: request.Size, progress: progress}, o)
	if err != nil {
		return control.PutResult{}, err
	}
	return control.PutResult{Capability: capability.Mutable(key).Text(), Size: v.Size, Params: request.Params, Version: v.Head.Sequence}, nil
}

// paramsOf returns the encoding that a mutable file gets.
func (a api) paramsOf(ctx context.Context, request control.PutRequest) share.Params {
	if request.Params.IsZero() {
		return a.n.grid.ParamsFor(ctx)
	}
	return request.Params
}

// overwrite writes the next version of a mutable file, whole or in part.
func (a api) overwrite(ctx context.Context, p place, n tree.Node, r io.Reader, request control.PutRequest, progress func(control.Progress)) (control.PutResult, error) {
	c := n.Entry.Capability
	key, ok := c.WriteKey()
	if !ok {
		return control.PutResult{}, errNotWritable
	}
	in := &counted{r: r, total: request.Size, progress: progress}
	v, err := a.write(ctx, c, key, in, request)
	if unhappy, ok := errors.AsType[*share.UnhappyError](err); ok && unhappy.OverQuota() {
		err = &besideError{err}
	}
	if err != nil {
		return control.PutResult{}, err
	}
	changed := request.Patch == nil || in.n > 0
	if changed && n.Parent.Authority() == capability.AuthorityWrite {
		err = a.n.names().Change(ctx, n, func(e *dir.Entry) {
			user, created := e.User, e.Created
			if request.Patch != nil {
				request.Metadata.ContentType, request.Metadata.Executable = e.ContentType, e.Executable
			}
			e.Metadata = metadataOf(request.Metadata, v.Size)
			e.Created, e.Changed = created, time.Now()
			if len(e.User) == 0 {
				e.User = user
			}
		})
	}
	result := control.PutResult{Capability: c.Text(), Size: v.Size, Params: a.paramsOf(ctx, request), Path: p.path(n.Path), Version: v.Head.Sequence}
	return result, err
}

// A besideError says that a new version has no room beside those before it.
type besideError struct{ err error }

func (e *besideError) Error() string { return e.err.Error() }

func (e *besideError) Unwrap() error { return e.err }

// hintBeside says how to make room for a version of a file.
func hintBeside(path string) string {
	return fmt.Sprintf("a version is stored before the one that it replaces goes, and past versions take room too: \"cairn history --keep-versions 1 --keep-for 1h %s\" "+
		"lets go of those that were replaced more than an hour ago, then store it again; or remove something else, or lend more space", path)
}

func (a api) write(ctx context.Context, c capability.Capability, key keys.WriteKey, r io.Reader, request control.PutRequest) (*mutable.Version, error) {
	if request.Patch != nil {
		return a.n.grid.Files().Patch(ctx, key, *request.Patch, r)
	}
	base, err := a.n.grid.Files().Read(ctx, c)
	if err != nil {
		return nil, err
	}
	o := mutable.WriteOptions{Params: request.Params, Keep: true}
	if o.Retention, err = retention(request.Retention, base.Head.Retention()); err != nil {
		return nil, err
	}
	return a.n.grid.Files().Write(ctx, key, base, r, o)
}

var _ control.File = grid.Reader(nil)
