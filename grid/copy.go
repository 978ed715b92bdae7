package grid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

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
	Skipped     int // that could not be copied
	// Problems are those of which Skipped counts, the first maxProblems.
	Problems []CopyProblem
}

// maxProblems bounds how many problems of a copy are kept.
const maxProblems = 10_000

// A CopyProblem names what was left out of a copy.
type CopyProblem struct {
	Path string // from what was copied on, with slashes
	Err  error
}

// ErrCycle says that a directory is inside itself, directly or through others.
var ErrCycle = errors.New("the directory contains itself; it is copied once")

// CopyOptions say how to copy.
type CopyOptions struct {
	// Omit are names in a directory that is copied which are left out of it. They are not looked for in the directories below.
	Omit []string
	// Progress, if set, is called after each thing that was copied.
	Progress func(Copied)
}

// Copy makes a copy of what a capability opens that changes independently of it. Immutable things are their own copies: nothing
// of them is read or stored. Of a mutable file the bytes are read and stored as a new one, and of a directory a new one is
// made with copies of what is in it. What is reached twice is copied once. Capabilities that do not read, and those of unknown
// kinds, are kept as they are. What cannot be read, and a directory inside itself, is left out and named in Copied. An error about
// something below is a *tree.PathError from what was copied on.
func (g *Grid) Copy(ctx context.Context, c capability.Capability, o CopyOptions) (capability.Capability, Copied, error) {
	cp := &copier{g: g, made: map[string]capability.Capability{}, CopyOptions: o}
	made, err := cp.copy(ctx, c)
	return made, cp.done, err
}

type copier struct {
	CopyOptions
	g    *Grid
	made map[string]capability.Capability // by the id of what was copied; zero while it is being copied
	at   []string                         // the names from the top to what is being copied
	done Copied
}

// An unreadable error is one of what is copied. It does not end the copy of what it is in.
type unreadable struct{ error }

func (e unreadable) Unwrap() error { return e.error }

func (cp *copier) copy(ctx context.Context, c capability.Capability) (capability.Capability, error) {
	id := tree.ID(c)
	if made, seen := cp.made[id]; seen && id != "" {
		if made.IsZero() {
			return made, unreadable{ErrCycle}
		}
		return made, nil
	}
	if len(cp.at) > tree.MaxDepth {
		return c, unreadable{fmt.Errorf("directories are more than %d deep", tree.MaxDepth)}
	}
	var err error
	made := c
	switch c.Kind() {
	case capability.KindDir, capability.KindDirRead:
		cp.made[id] = capability.Capability{}
		made, err = cp.directory(ctx, c)
		cp.done.Directories++
	case capability.KindMutable, capability.KindMutableRead:
		made, err = cp.file(ctx, c)
		cp.done.Files++
	default:
		cp.done.Files++
	}
	if err != nil {
		delete(cp.made, id)
		return made, err
	}
	cp.made[id] = made
	if cp.Progress != nil {
		cp.Progress(cp.done)
	}
	return made, nil
}

func (cp *copier) directory(ctx context.Context, c capability.Capability) (capability.Capability, error) {
	x, err := cp.g.dirs.Open(ctx, c)
	if err != nil {
		return c, unreadable{err}
	}
	return cp.g.dirs.Create(ctx, func(yield func(dir.Entry, error) bool) {
		for entry, err := range x.All(ctx) {
			if err != nil {
				if err = cp.skip(ctx, unreadable{err}); err != nil {
					yield(entry, err)
				}
				return
			}
			if len(cp.at) == 0 && slices.Contains(cp.Omit, entry.Name) {
				continue
			}
			cp.at = append(cp.at, entry.Name)
			entry.Capability, err = cp.copy(ctx, entry.Capability)
			skipped := err != nil
			if skipped {
				err = cp.skip(ctx, err)
			}
			cp.at = cp.at[:len(cp.at)-1]
			if skipped && err == nil {
				continue
			}
			if !yield(entry, err) {
				return
			}
		}
	})
}

// skip notes that what is being copied is left out, unless the error has to end all.
func (cp *copier) skip(ctx context.Context, err error) error {
	if _, one := errors.AsType[unreadable](err); !one || ctx.Err() != nil {
		if _, named := errors.AsType[*tree.PathError](err); !named {
			err = &tree.PathError{Path: tree.Join(cp.at), Err: err}
		}
		return err
	}
	cp.done.Skipped++
	if len(cp.done.Problems) < maxProblems {
		cp.done.Problems = append(cp.done.Problems, CopyProblem{Path: tree.Join(cp.at), Err: err})
	}
	return nil
}

// file stores the bytes of a mutable file as a new one.
func (cp *copier) file(ctx context.Context, c capability.Capability) (capability.Capability, error) {
	r, err := cp.g.Open(ctx, c)
	if err != nil {
		return c, unreadable{err}
	}
	defer r.Close()
	key := keys.NewWriteKey()
	_, err = cp.g.store(ctx, key, nil, r)
	return capability.Mutable(key), err
}

// store writes what a reader reads as a version of a mutable file.
func (g *Grid) store(ctx context.Context, key keys.WriteKey, base *mutable.Version, r Reader) (v *mutable.Version, err error) {
	piped(ctx, r, func(in io.Reader) { v, err = g.files.Write(ctx, key, base, in, mutable.WriteOptions{}) })
	return v, err
}

// piped gives what a reader reads to a function as a stream. Reading has ended when it returns.
func piped(ctx context.Context, r Reader, use func(io.Reader)) {
	in, out := io.Pipe()
	reading, cancel := context.WithCancel(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, err := r.WriteTo(reading, out, 0, r.Size())
		out.CloseWithError(err)
	}()
	use(in)
	cancel()
	in.CloseWithError(context.Canceled)
	<-read
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
