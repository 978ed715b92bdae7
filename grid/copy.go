package grid

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// Copied counts what a Copy has made.
type Copied struct {
	Files       int // linked or stored
	Directories int
}

// Copy makes a copy of what a capability opens that changes independently of it. Immutable things are their own copies: nothing
// of them is read or stored. Of a mutable file the bytes are read and stored as a new one, and of a directory a new one is
// made with copies of what is in it. What is reached twice is copied once, so that cycles end. Capabilities that do not
// read, and those of unknown kinds, are kept as they are.
func (g *Grid) Copy(ctx context.Context, c capability.Capability, progress func(Copied)) (capability.Capability, Copied, error) {
	cp := &copier{g: g, made: map[string]capability.Capability{}, progress: progress}
	made, err := cp.copy(ctx, c, 0)
	return made, cp.done, err
}

type copier struct {
	g        *Grid
	made     map[string]capability.Capability // by the id of what was copied; zero while it is being copied
	done     Copied
	progress func(Copied)
}

var errCycle = errors.New("the directory contains itself, and cannot be copied")

func (cp *copier) copy(ctx context.Context, c capability.Capability, depth int) (capability.Capability, error) {
	id := tree.ID(c)
	if made, seen := cp.made[id]; seen && id != "" {
		if made.IsZero() {
			return made, errCycle
		}
		return made, nil
	}
	if depth > tree.MaxDepth {
		return c, fmt.Errorf("directories are more than %d deep", tree.MaxDepth)
	}
	var err error
	made := c
	switch c.Kind() {
	case capability.KindDir, capability.KindDirRead:
		cp.made[id] = capability.Capability{}
		made, err = cp.directory(ctx, c, depth)
		cp.done.Directories++
	case capability.KindMutable, capability.KindMutableRead:
		made, err = cp.file(ctx, c)
		cp.done.Files++
	default:
		cp.done.Files++
	}
	if err != nil {
		return made, err
	}
	cp.made[id] = made
	if cp.progress != nil {
		cp.progress(cp.done)
	}
	return made, nil
}

func (cp *copier) directory(ctx context.Context, c capability.Capability, depth int) (capability.Capability, error) {
	x, err := cp.g.dirs.Open(ctx, c)
	if err != nil {
		return c, err
	}
	return cp.g.dirs.Create(ctx, func(yield func(dir.Entry, error) bool) {
		for entry, err := range x.All(ctx) {
			if err == nil && !entry.Capability.IsZero() {
				entry.Capability, err = cp.copy(ctx, entry.Capability, depth+1)
				err = named(entry.Name, err)
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	})
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// file stores the bytes of a mutable file as a new one.
func (cp *copier) file(ctx context.Context, c capability.Capability) (capability.Capability, error) {
	r, err := cp.g.Open(ctx, c)
	if err != nil {
		return c, err
	}
	defer r.Close()
	key := keys.NewWriteKey()
	_, err = cp.g.store(ctx, key, nil, r)
	return capability.Mutable(key), err
}

// store writes what a reader reads as a version of a mutable file.
func (g *Grid) store(ctx context.Context, key keys.WriteKey, base *mutable.Version, r Reader) (*mutable.Version, error) {
	in, out := io.Pipe()
	reading, cancel := context.WithCancel(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, err := r.WriteTo(reading, out, 0, r.Size())
		out.CloseWithError(err)
	}()
	v, err := g.files.Write(ctx, key, base, in, mutable.WriteOptions{})
	cancel()
	in.CloseWithError(context.Canceled)
	<-read
	return v, err
}

// RestoreVersion writes a former version of a mutable file as its newest one, also where the newest one cannot be read. It
// returns share.ErrNotFound when there is no version with the number.
func (g *Grid) RestoreVersion(ctx context.Context, key keys.WriteKey, sequence uint64) (*mutable.Version, error) {
	v, err := g.files.Restore(ctx, key, sequence)
	if err == nil || errors.Is(err, share.ErrConflict) || ctx.Err() != nil {
		return v, err
	}
	versions, failed := g.files.History(ctx, capability.Mutable(key))
	if failed != nil {
		return nil, err
	}
	for i := range versions {
		if versions[i].Head.Sequence != sequence || i == 0 {
			continue
		}
		r, err := versions[i].Open(ctx)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return g.store(ctx, key, &versions[0], r)
	}
	return nil, err
}
