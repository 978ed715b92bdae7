package mutable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/head"
	"cairn/share/keys"
)

// A Reader reads the plaintext of one version. It is safe for concurrent use.
type Reader interface {
	Size() int64
	// ReadAt fills p from offset off; io.EOF says that the version ends first.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// WriteTo writes n bytes from offset off on to w, fewer where the version ends first.
	WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error)
	// Fetched returns the bytes asked of servers so far.
	Fetched() int64
	Close() error
}

// A Version is one version of a mutable file. It does not change and is safe for concurrent use.
type Version struct {
	Head head.Head
	// Size is the length of the plaintext in bytes, -1 where nobody was found to tell.
	Size int64
	// Forks are heads that servers hold beside Head and that neither follows: two writers were acknowledged who did not
	// know of each other, as in a network that was cut in two. A version that is written on this one follows them too, so
	// what they changed has to be brought together first, or left to History.
	Forks []head.Head
	// Unclear, if set, says why it cannot be told whether there are forks: too many servers are out of reach. It wraps
	// share.ErrUnavailable. A version that is written on this one is refused where it meets one.
	Unclear error
	// Refused says that the version lost a collision, is kept by this writer, and is not followed by the newest one. History alone
	// sets it.
	Refused bool
	// Confirmed says that enough servers for a write to succeed were seen to hold the version. One that is not may have been
	// acknowledged, or be what a writer left behind who was not, and then it may yet be passed over: see Files.Confirm.
	Confirmed bool

	m    *Files
	key  keys.ReadKey
	data []byte // of a small version; nil for a large one
	// held is what head servers held when the version was read, where it is not the version's own head and can be replaced.
	held map[share.ServerID]head.Head
	// follows are records that the version is known to follow, beside its parents.
	follows map[share.Digest]bool
	// gone are records that cannot be read and were on so many servers: while these are no more, the next version may replace
	// them. It may have been a write that was still under way.
	gone    map[share.Digest]int
	holders int    // servers that held it as the newest
	top     uint64 // the highest sequence that any server showed
}

// Open opens the version for reading. The errors are those of file.Open.
func (v *Version) Open(ctx context.Context) (Reader, error) {
	if v.data != nil {
		return inMemory(v.data), nil
	}
	return v.m.open(ctx, v.Head.Root, v.key)
}

// Bytes returns the plaintext. It returns ErrTooLarge when there is more than limit bytes. The caller must not change it.
func (v *Version) Bytes(ctx context.Context, limit int64) ([]byte, error) {
	if v.Size > limit {
		return nil, fmt.Errorf("version %d of %s: %w: %d bytes, at most %d", v.Head.Sequence, v.Head.Name, share.ErrTooLarge, v.Size, limit)
	}
	if v.data != nil {
		return v.data, nil
	}
	r, err := v.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > limit {
		return nil, fmt.Errorf("version %d of %s: %w: %d bytes, at most %d", v.Head.Sequence, v.Head.Name, share.ErrTooLarge, r.Size(), limit)
	}
	data := make([]byte, r.Size())
	if _, err := r.ReadAt(ctx, data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// open opens the encoded file of a version.
func (m *Files) open(ctx context.Context, index share.StorageIndex, key keys.ReadKey) (Reader, error) {
	r, err := file.Open(ctx, m.env.Servers(ctx), index, key, m.env.Logger, m.finders(index)...)
	if err != nil {
		return nil, err
	}
	return stored{r}, nil
}

type stored struct{ *file.Reader }

func (r stored) Fetched() int64 { return r.Source().Fetched() }

// inMemory is the Reader of a version that came with its head.
type inMemory []byte

func (b inMemory) Size() int64    { return int64(len(b)) }
func (b inMemory) Fetched() int64 { return 0 }
func (b inMemory) Close() error   { return nil }

func (b inMemory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off)
}

func (b inMemory) WriteTo(_ context.Context, w io.Writer, off, n int64) (int64, error) {
	if off < 0 || n < 0 {
		return 0, fmt.Errorf("read %d bytes at offset %d: negative", n, off)
	}
	return io.Copy(w, io.NewSectionReader(bytes.NewReader(b), off, n))
}
