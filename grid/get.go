package grid

import (
	"context"
	"fmt"
	"io"

	"cairn/grid/file"
	"cairn/grid/health"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
)

// A Reader reads the plaintext of one file. It is safe for concurrent use.
type Reader interface {
	Size() int64
	// ReadAt fills p from offset off; io.EOF says that the file ends first.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// WriteTo writes n bytes from offset off on to w, fewer where the file ends first.
	WriteTo(ctx context.Context, w io.Writer, off, n int64) (int64, error)
	// Fetched returns the bytes asked of servers so far.
	Fetched() int64
	Close() error
}

// Open opens a file for reading. It returns a *capability.KindError or capability.ErrAuthority for a capability that does
// not read a file, file.ErrWrongKey, ErrNotFound when every server says that it has nothing of it, and a
// *share.NotEnoughSharesError when too few shares are within reach.
func (g *Grid) Open(ctx context.Context, c capability.Capability) (Reader, error) {
	if data, ok := c.Data(); ok {
		return literal(data), nil
	}
	switch {
	case c.Kind() == capability.KindMutable || c.Kind() == capability.KindMutableRead:
		return g.openMutable(ctx, c)
	case tree.IsDirectory(c):
		return nil, tree.ErrIsDirectory
	case c.Kind() == capability.KindFileVerify || c.Kind() == capability.KindMutableVerify:
		return nil, fmt.Errorf("%w: this is %s, which checks and repairs it but does not read it; its read capability would", capability.ErrAuthority, c.Kind().Noun())
	}
	if err := c.Want(capability.KindFile); err != nil {
		return nil, err
	}
	index, _ := c.StorageIndex()
	key, _ := c.ReadKey()
	r, err := file.Open(ctx, g.Servers(ctx), index, key, g.Logger, g.finders(index)...)
	if err != nil {
		return nil, err
	}
	return fileReader{r}, nil
}

// openMutable opens the newest version of a mutable file.
func (g *Grid) openMutable(ctx context.Context, c capability.Capability) (Reader, error) {
	v, err := g.files.Read(ctx, c)
	if err != nil {
		return nil, err
	}
	r, err := v.Open(ctx)
	if err != nil || !v.Head.Ended {
		return r, err
	}
	return lastReader{r}, nil
}

// A lastReader reads the last version under a name.
type lastReader struct{ Reader }

// Ended says that the file goes on under other keys.
func (lastReader) Ended() bool { return true }

type fileReader struct{ *file.Reader }

func (r fileReader) Fetched() int64 { return r.Source().Fetched() }

// literal is a file whose bytes are in the capability.
type literal []byte

func (l literal) Size() int64    { return int64(len(l)) }
func (l literal) Fetched() int64 { return 0 }
func (l literal) Close() error   { return nil }

func (l literal) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at offset %d: negative", off)
	}
	n := copy(p, l[min(off, l.Size()):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (l literal) WriteTo(_ context.Context, w io.Writer, off, n int64) (int64, error) {
	if off < 0 || n < 0 {
		return 0, fmt.Errorf("read %d bytes at offset %d: negative", n, off)
	}
	rest := l[min(off, l.Size()):]
	written, err := w.Write(rest[:min(n, rest.Size())])
	return int64(written), err
}

// Stat returns the shape of a file. For an immutable file a verify capability suffices. The errors are those of
// Open.
func (g *Grid) Stat(ctx context.Context, c capability.Capability) (Stat, error) {
	if data, ok := c.Data(); ok {
		return Stat{Kind: c.Kind().String(), Size: int64(len(data))}, nil
	}
	index, err := g.newestObject(ctx, c)
	if err != nil {
		return Stat{}, err
	}
	source, err := file.OpenSource(ctx, g.Servers(ctx), index, g.Logger, g.finders(index)...)
	if err != nil {
		return Stat{}, err
	}
	defer source.Close()
	s := stat(c.Kind(), source.Root())
	s.Copy = g.hasCopy(ctx, index, source.Root().Needed)
	return s, nil
}

// hasCopy reports whether the server on which copies are kept has enough shares of a file to give it back alone.
func (g *Grid) hasCopy(ctx context.Context, index share.StorageIndex, needed int) bool {
	if g.Copies == nil {
		return false
	}
	server, ok := g.Copies(ctx)
	if !ok || server.Down {
		return false
	}
	held, err := server.Store.Numbers(ctx, []share.StorageIndex{index})
	return err == nil && len(held[0].Numbers) >= needed
}

// Check asks which servers hold which shares of a file. With verify every share is downloaded and verified. A verify
// capability suffices.
func (g *Grid) Check(ctx context.Context, c capability.Capability, verify bool, progress func(health.Progress)) (health.Report, error) {
	index, err := g.newestObject(ctx, c)
	if err != nil {
		return health.Report{}, err
	}
	return g.checkOn(ctx, g.serversFor(ctx, index), index, verify, progress)
}

// checkOn checks or verifies a file, and compares it with what is stored now.
func (g *Grid) checkOn(ctx context.Context, servers []share.Server, index share.StorageIndex, verify bool, progress func(health.Progress)) (report health.Report, err error) {
	if verify {
		report, err = health.Verify(ctx, servers, index, progress)
	} else {
		report, err = health.Check(ctx, servers, index)
	}
	if err == nil {
		report.Compare(g.params(share.Params{}, servers))
	}
	return report, err
}

// Repair makes the missing and bad shares of a file anew. With verify every share is downloaded and verified first. A
// verify capability suffices.
func (g *Grid) Repair(ctx context.Context, c capability.Capability, verify bool, progress func(health.Progress)) (health.Result, error) {
	index, err := g.newestObject(ctx, c)
	if err != nil {
		return health.Result{}, err
	}
	servers := g.serversFor(ctx, index)
	now := g.params(share.Params{}, servers)
	result, err := health.Repair(ctx, servers, index, health.Options{
		Happy: now.Happy, Verify: verify, Lease: g.lease(), Progress: progress, Logger: g.Logger,
	})
	result.Before.Compare(now)
	result.After.Compare(now)
	return result, err
}
