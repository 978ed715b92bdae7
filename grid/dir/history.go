package dir

import (
	"context"
	"fmt"

	"cairn/share"
	"cairn/share/capability"
)

// Versions returns the versions of a directory that are kept, newest first. Of an immutable directory it is the one.
func (d *Dirs) Versions(ctx context.Context, c capability.Capability) ([]Version, error) {
	if err := wantDirectory(c); err != nil {
		return nil, err
	}
	if c.Kind() == capability.KindIDir {
		index, _ := c.StorageIndex()
		return []Version{{Root: index}}, nil
	}
	versions, err := d.Files.History(ctx, c, 0)
	if err != nil {
		return nil, fmt.Errorf("directory %v: %w", c, err)
	}
	return versions, nil
}

// At returns the version of a directory with this sequence as it was, of several the newest; share.ErrNotFound when it is
// not kept any more.
func (d *Dirs) At(ctx context.Context, c capability.Capability, sequence uint64) (*Directory, error) {
	versions, err := d.Versions(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Sequence == sequence {
			return d.OpenVersion(ctx, c, v)
		}
	}
	return nil, fmt.Errorf("version %d of directory %v: %w", sequence, c, share.ErrNotFound)
}

// OpenVersion returns a version of a directory that Versions named.
func (d *Dirs) OpenVersion(ctx context.Context, c capability.Capability, v Version) (*Directory, error) {
	if c.Kind() == capability.KindIDir {
		return d.Open(ctx, c)
	}
	content, err := d.Files.ReadVersion(ctx, c, v)
	if err != nil {
		return nil, fmt.Errorf("version %d of directory %v: %w", v.Sequence, c, err)
	}
	return d.directory(c, content)
}
