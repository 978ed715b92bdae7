package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"cairn/grid"
	"cairn/grid/mutable"
	"cairn/node/vfs"
	"cairn/share"
	"cairn/share/capability"
)

// overwriteTries is how often a file is written again because somebody else has written it meanwhile.
const overwriteTries = 5

// gridFiles are the files of the grid as a file system wants them. It implements vfs.Files.
type gridFiles struct {
	grid *grid.Grid
	// may, if set, says why nothing may be stored now.
	may func() error
}

var _ vfs.Files = gridFiles{}

func (f gridFiles) allowed() error {
	if f.may == nil {
		return nil
	}
	return f.may()
}

// Open implements vfs.Files.
func (f gridFiles) Open(ctx context.Context, c capability.Capability) (vfs.Reader, error) {
	return f.grid.Open(ctx, c)
}

// Put implements vfs.Files. It reads the file once to learn its key, so that storing it again goes on where it stopped.
func (f gridFiles) Put(ctx context.Context, file io.ReadSeeker, size int64) (capability.Capability, error) {
	if err := f.allowed(); err != nil {
		return capability.Capability{}, err
	}
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err == nil && n != size {
		err = grid.ErrChanged
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return capability.Capability{}, fmt.Errorf("read: %w", err)
	}
	digest := share.Digest(hash.Sum(nil))
	result, err := f.grid.Put(ctx, file, grid.PutOptions{Size: size, Digest: &digest})
	return result.Capability, err
}

// PutSmall implements vfs.Files.
func (f gridFiles) PutSmall(ctx context.Context, contents [][]byte) ([]capability.Capability, error) {
	if err := f.allowed(); err != nil {
		return nil, err
	}
	return f.grid.PutBatch(ctx, contents)
}

// Overwrite implements vfs.Files. What somebody else stored meanwhile stays in the file's history.
func (f gridFiles) Overwrite(ctx context.Context, c capability.Capability, file io.ReadSeeker, size int64) error {
	if err := f.allowed(); err != nil {
		return err
	}
	key, ok := c.WriteKey()
	if !ok {
		return fmt.Errorf("%w: the file is open for reading only here; its write capability would do", capability.ErrAuthority)
	}
	for try := 1; ; try++ {
		base, err := f.grid.Files().Read(ctx, c)
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
		var v *mutable.Version
		if err == nil {
			v, err = f.grid.Files().Write(ctx, key, base, file, mutable.WriteOptions{})
		}
		switch {
		case err == nil && v.Size != size:
			return grid.ErrChanged
		case !errors.Is(err, share.ErrConflict) || try == overwriteTries:
			return err
		}
	}
}
