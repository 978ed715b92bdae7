package grid

import (
	"bytes"
	"context"
	"fmt"

	"cairn/grid/dir"
	"cairn/grid/dir/page"
	"cairn/grid/file"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// newNames makes what deals with things that change: mutable files, directories, and paths over them.
func (g *Grid) newNames() {
	g.files = mutable.New(mutable.Env{
		Servers: g.Servers, Locate: g.Locate, Params: g.ParamsFor, Owner: g.Owner, Lease: g.leaseTime, Memory: g.Memory,
		Background: g.inBackground, Logger: g.Logger,
	})
	g.dirs = dir.New(dir.Config{Files: directoryFiles{g.files}, Pages: directoryPages{g}, Secret: g.Secret, Logger: g.Logger})
	g.tree = tree.New(g.dirs)
}

// directoryFiles keeps the root pages of directories in mutable files. The handle of a version is a *mutable.Version.
type directoryFiles struct{ files *mutable.Files }

var _ dir.Files = directoryFiles{}

// Read is that of dir.Files.
func (f directoryFiles) Read(ctx context.Context, c capability.Capability) (dir.Content, error) {
	v, err := f.files.Read(ctx, c)
	if err != nil {
		return dir.Content{}, err
	}
	content, err := contentOf(ctx, v)
	for _, fork := range v.Forks {
		content.Forks = append(content.Forks, versionOf(fork))
	}
	return content, err
}

// ReadVersion is that of dir.Files.
func (f directoryFiles) ReadVersion(ctx context.Context, c capability.Capability, want dir.Version) (dir.Content, error) {
	name, _ := c.Name()
	v, err := f.files.ReadHead(ctx, c, head.Head{
		Name: name, Sequence: want.Sequence, Root: want.Root, Parents: want.Parents, Written: want.Written, Digest: want.Digest,
	})
	if err != nil {
		return dir.Content{}, err
	}
	return contentOf(ctx, v)
}

// Write is that of dir.Files.
func (f directoryFiles) Write(ctx context.Context, key keys.WriteKey, w dir.Write) (dir.Version, error) {
	base, err := f.base(ctx, key, w.Bases)
	if err != nil {
		return dir.Version{}, err
	}
	o := mutable.WriteOptions{Drops: w.Drops, All: w.All}
	for _, p := range w.Pages {
		sealed, err := mutable.Seal(p.Params, p.Key, p.Data)
		if err != nil {
			return dir.Version{}, err
		}
		if sealed.Index() != p.Index {
			return dir.Version{}, fmt.Errorf("page: %w: it is encoded differently", share.ErrCorrupt)
		}
		o.Extra, o.Params = append(o.Extra, sealed), p.Params
	}
	v, err := f.files.Write(ctx, key, base, bytes.NewReader(w.Data), o)
	if err != nil {
		return dir.Version{}, err
	}
	return handled(v), nil
}

// History is that of dir.Files.
func (f directoryFiles) History(ctx context.Context, c capability.Capability) ([]dir.Version, error) {
	versions, err := f.files.History(ctx, c)
	out := make([]dir.Version, len(versions))
	for i, v := range versions {
		out[i] = versionOf(v.Head)
	}
	return out, err
}

// base returns the version that a write follows as the files know it.
func (f directoryFiles) base(ctx context.Context, key keys.WriteKey, bases []dir.Version) (*mutable.Version, error) {
	if len(bases) == 0 {
		return nil, nil //nolint:nilnil // no version is the base of the first one
	}
	if v, ok := bases[0].Handle.(*mutable.Version); ok {
		return v, nil
	}
	v, err := f.files.Read(ctx, capability.Directory(key))
	if err == nil && v.Head.Digest != bases[0].Digest {
		err = &share.ConflictError{Name: v.Head.Name}
	}
	return v, err
}

func contentOf(ctx context.Context, v *mutable.Version) (dir.Content, error) {
	data, err := v.Bytes(ctx, page.MaxSize)
	return dir.Content{Version: handled(v), Data: data}, err
}

func handled(v *mutable.Version) dir.Version {
	out := versionOf(v.Head)
	out.Handle = v
	return out
}

func versionOf(h head.Head) dir.Version {
	return dir.Version{Sequence: h.Sequence, Root: h.Root, Written: h.Written, Digest: h.Digest, Parents: h.Parents}
}

// directoryPages keeps the other pages of directories in small immutable files.
type directoryPages struct{ g *Grid }

var _ dir.Pages = directoryPages{}

// Params is that of dir.Pages.
func (p directoryPages) Params(ctx context.Context) share.Params { return p.g.ParamsFor(ctx) }

// Store is that of dir.Pages.
func (p directoryPages) Store(ctx context.Context, pages []dir.Page) error {
	if len(pages) == 0 {
		return nil
	}
	small := make([]file.SmallFile, len(pages))
	for i, page := range pages {
		small[i] = file.SmallFile{Key: page.Key, Data: page.Data}
	}
	results, err := file.UploadBatch(ctx, p.g.Servers(ctx), small, file.BatchOptions{
		Params: pages[0].Params, Owner: p.g.Owner, Lease: p.g.leaseTime(), Resume: true, Log: p.g.Logger,
	})
	if err != nil {
		return err
	}
	for i, result := range results {
		if result.Root.StorageIndex() != pages[i].Index {
			return fmt.Errorf("page: %w: it is encoded differently", share.ErrCorrupt)
		}
	}
	return nil
}

// Fetch is that of dir.Pages.
func (p directoryPages) Fetch(ctx context.Context, refs []page.Ref) ([][]byte, error) {
	wanted := make([]mutable.Ref, len(refs))
	for i, ref := range refs {
		wanted[i] = mutable.Ref{Index: ref.Index, Key: ref.Key}
	}
	data, err := p.g.files.Fetch(ctx, wanted)
	for _, d := range data {
		if err == nil && len(d) > page.MaxSize {
			err = fmt.Errorf("page: %w: %d bytes, at most %d", share.ErrTooLarge, len(d), page.MaxSize)
		}
	}
	return data, err
}
