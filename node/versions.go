package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func (a api) History(ctx context.Context, target string) ([]control.Version, error) {
	p, n, err := a.resolve(ctx, target)
	if err != nil {
		return nil, p.explain(a.n, err)
	}
	versions, err := a.history(ctx, n)
	return versions, p.explain(a.n, err)
}

var errNotWritable = fmt.Errorf("%w: the mutable file is open for reading only here; its write capability (cairn:mutable:…) would do", capability.ErrAuthority)

var errNoVersions = errors.New("it is immutable: there is one version of it")

func (a api) history(ctx context.Context, n tree.Node) ([]control.Version, error) {
	c := n.Entry.Capability
	if _, mutable := c.Name(); !mutable {
		return nil, errNoVersions
	}
	if _, reads := c.ReadKey(); !reads {
		return nil, fmt.Errorf("%w: this is %s; the read capability shows the versions", capability.ErrAuthority, c.Kind().Noun())
	}
	found, err := a.n.grid.Files().History(ctx, c)
	if err != nil {
		return nil, a.lost(c, err)
	}
	if len(found) == 0 {
		return nil, share.ErrNotFound
	}
	kept := mutable.Kept(found, time.Now())
	list := make([]control.Version, len(found))
	for i, v := range found {
		list[i] = control.Version{
			Version: v.Head.Sequence, Written: v.Head.Written, Size: v.Size, Current: i == 0, Refused: v.Refused, Record: tagOf(v.Head.Digest), Ended: v.Head.Ended,
			KeptUntil: kept[i].Until, KeptNewer: kept[i].Newer,
		}
	}
	list[0].Retention = toldRetention(found[0].Head.Retention())
	return list, nil
}

// lost returns in the place of share.ErrNotFound that something which was seen before is not there now.
func (a api) lost(c capability.Capability, err error) error {
	name, _ := c.Name()
	if h, seen := a.n.state.Seen(name); seen && errors.Is(err, share.ErrNotFound) {
		return &share.RollbackError{Name: name, Seen: h.Sequence}
	}
	return err
}

func toldRetention(r share.Retention) *control.Retention {
	return &control.Retention{Versions: r.Versions, Seconds: int64(r.Age / time.Second)}
}

// retention returns which past versions somebody wants kept, where they are kept so until now.
func retention(asked control.Retention, now share.Retention) (share.Retention, error) {
	const most = int64(share.MaxRetentionAge/time.Second) + 1
	if asked.Versions != 0 {
		now.Versions = asked.Versions
	}
	if asked.Seconds != 0 {
		now.Age = time.Duration(min(max(asked.Seconds, -1), most)) * time.Second
	}
	if err := now.Check(); err != nil {
		return now, &control.Error{Code: control.CodeMalformed, Message: err.Error()}
	}
	return now, nil
}

// Retain changes which past versions of a mutable file or a directory are kept, in a version that differs in nothing else.
func (a api) Retain(ctx context.Context, request control.RetainRequest) (control.Version, error) {
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return control.Version{}, p.explain(a.n, err)
	}
	v, err := a.retain(ctx, n, request.Keep)
	return v, p.explain(a.n, err)
}

func (a api) retain(ctx context.Context, n tree.Node, asked control.Retention) (control.Version, error) {
	c := n.Entry.Capability
	if _, mutable := c.Name(); !mutable {
		return control.Version{}, errNoVersions
	}
	if n.Directory() {
		return a.retainDirectory(ctx, c, asked)
	}
	key, ok := c.WriteKey()
	if !ok {
		return control.Version{}, errNotWritable
	}
	v, err := a.n.grid.Files().Read(ctx, c)
	if err != nil {
		return control.Version{}, err
	}
	r, err := retention(asked, v.Head.Retention())
	if err == nil {
		v, err = a.n.grid.Files().Retain(ctx, key, r)
	}
	if err != nil {
		return control.Version{}, err
	}
	out := versionOf(v)
	out.Retention = toldRetention(r)
	return out, nil
}

func (a api) retainDirectory(ctx context.Context, c capability.Capability, asked control.Retention) (control.Version, error) {
	if err := tree.Writable(c); err != nil {
		return control.Version{}, err
	}
	var r share.Retention
	x, err := a.n.grid.Dirs().Update(ctx, c, func(e *dir.Editor) (err error) {
		if r, err = retention(asked, e.Retention()); err == nil {
			e.Retain(r)
		}
		return err
	})
	if err != nil {
		return control.Version{}, err
	}
	v := x.Version()
	return control.Version{
		Version: v.Sequence, Written: v.Written, Size: -1, Current: true, Record: tagOf(v.Digest), Retention: toldRetention(r),
	}, nil
}

func (a api) Restore(ctx context.Context, request control.RestoreRequest) (control.Version, error) {
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return control.Version{}, p.explain(a.n, err)
	}
	if request.Empty {
		v, err := a.n.beginAnew(ctx, n.Entry.Capability, tree.OneLine(p.path(n.Path)), request.Force)
		return v, p.explain(a.n, err)
	}
	if versions, err := a.history(ctx, n); err == nil {
		if err := ambiguous(p.path(n.Path), versions, request); err != nil {
			return control.Version{}, err
		}
	}
	v, err := a.restore(ctx, n, request)
	return v, p.explain(a.n, err)
}

func (a api) restore(ctx context.Context, n tree.Node, request control.RestoreRequest) (control.Version, error) {
	c := n.Entry.Capability
	if _, mutable := c.Name(); !mutable {
		return control.Version{}, errNoVersions
	}
	if n.Directory() {
		return a.restoreDirectory(ctx, c, request)
	}
	key, ok := c.WriteKey()
	if !ok {
		return control.Version{}, errNotWritable
	}
	v, err := a.restoreFile(ctx, c, key, request)
	if err != nil {
		return control.Version{}, err
	}
	if n.Parent.Authority() == capability.AuthorityWrite {
		err = a.n.names().Change(ctx, n, func(e *dir.Entry) { e.Size, e.Modified, e.Changed = v.Size, time.Now(), time.Now() })
	}
	return versionOf(v), err
}

func (a api) restoreFile(ctx context.Context, c capability.Capability, key keys.WriteKey, request control.RestoreRequest) (*mutable.Version, error) {
	if request.Record == "" {
		return a.n.grid.RestoreVersion(ctx, key, request.Version)
	}
	versions, err := a.n.grid.Files().History(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Head.Sequence == request.Version && tagOf(v.Head.Digest) == request.Record {
			return a.n.grid.Files().RestoreHead(ctx, key, v.Head)
		}
	}
	return nil, noVersion(request)
}

func noVersion(request control.RestoreRequest) error {
	return fmt.Errorf("version %s: %w", control.VersionText(request.Version, request.Record), share.ErrNotFound)
}

// tagOf returns what tells a version from another one with its number.
func tagOf(d share.Digest) string { return d.String()[:8] }

func versionOf(v *mutable.Version) control.Version {
	return control.Version{
		Version: v.Head.Sequence, Written: v.Head.Written, Size: v.Size, Current: true, Record: tagOf(v.Head.Digest),
	}
}

func (a api) restoreDirectory(ctx context.Context, c capability.Capability, request control.RestoreRequest) (control.Version, error) {
	if err := tree.Writable(c); err != nil {
		return control.Version{}, err
	}
	versions, err := a.n.grid.Dirs().Versions(ctx, c)
	if err != nil {
		return control.Version{}, a.lost(c, err)
	}
	at := slices.IndexFunc(versions, func(v dir.Version) bool {
		return v.Sequence == request.Version && (request.Record == "" || tagOf(v.Digest) == request.Record)
	})
	if at < 0 {
		return control.Version{}, noVersion(request)
	}
	x, err := a.n.grid.Dirs().Restore(ctx, c, versions[at])
	if err != nil {
		return control.Version{}, err
	}
	v := x.Version()
	return control.Version{Version: v.Sequence, Written: v.Written, Size: -1, Current: true, Record: tagOf(v.Digest)}, nil
}
