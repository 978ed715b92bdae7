package dir

import (
	"context"
	"fmt"
	"iter"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// CreateAt makes the directory that has this write key. It returns an error that wraps share.ErrConflict when there is one.
func (d *Dirs) CreateAt(ctx context.Context, key keys.WriteKey, entries iter.Seq2[Entry, error]) error {
	x := &Directory{d: d, c: capability.Directory(key), sealer: page.NewSealer(key)}
	if _, err := d.write(ctx, x, func(e *Editor) error { return e.fill(entries) }); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	return nil
}

// Restore writes the entries of a former version, which Versions named, as the newest one. It needs nothing of the
// version that is the newest now, which may be damaged.
func (d *Dirs) Restore(ctx context.Context, c capability.Capability, v Version) (*Directory, error) {
	if err := wantDirectory(c); err != nil {
		return nil, err
	}
	if c.Kind() != capability.KindDir {
		return nil, ReadOnly(c)
	}
	old, err := d.OpenVersion(ctx, c, v)
	if err != nil {
		return nil, err
	}
	if restored, err := d.Update(ctx, c, func(e *Editor) (err error) {
		e.changes, err = diff(ctx, e.base.tree(), old.tree())
		return err
	}); err == nil {
		return restored, nil
	}
	return d.overwrite(ctx, c, old)
}

// overwrite writes the entries of a former version whatever the newest one holds. The pages of that one are let go of only
// where it can be read, which is what Restore tries first.
func (d *Dirs) overwrite(ctx context.Context, c capability.Capability, old *Directory) (*Directory, error) {
	name, _ := c.Name()
	end, err := d.turns.Take(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	versions, err := d.Versions(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("directory %v: %w", c, share.ErrNotFound)
	}
	key, _ := c.WriteKey()
	old.sealer = page.NewSealer(key)
	base := &Directory{d: d, c: c, version: versions[0], sealer: old.sealer}
	return d.write(ctx, base, func(e *Editor) error { return e.fill(old.All(ctx)) })
}

// Files returns the storage indexes of the pages of this version, the root's first. It reads the pages above the
// leaves.
func (x *Directory) Files(ctx context.Context) ([]share.StorageIndex, error) {
	out := []share.StorageIndex{x.version.Root}
	level := []page.Page{x.root}
	for len(level) > 0 {
		var next []page.Page
		for _, p := range level {
			for _, ref := range p.Refs {
				out = append(out, ref.Index)
			}
			if p.Level < 2 {
				continue
			}
			for at := 0; at < len(p.Refs); at += maxTogether {
				pages, err := x.fetch(ctx, p.Refs[at:min(at+maxTogether, len(p.Refs))])
				if err != nil {
					return nil, fmt.Errorf("list pages: %w", err)
				}
				for i, below := range pages {
					if below.Level != p.Level-1 {
						return nil, fmt.Errorf("directory page: %w: it is on level %d below one on level %d", share.ErrCorrupt, below.Level, p.Level)
					}
					next = append(next, pages[i])
				}
			}
		}
		level = next
	}
	return out, nil
}
