package grid

import (
	"context"
	"errors"
	"fmt"

	"cairn/grid/dir"
	"cairn/grid/mutable"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// ErrBusy says that something was changed again and again while its keys were to be changed.
var ErrBusy = errors.New("it is being changed; try again when nobody writes")

// rotateTries is how often a rotation starts anew because something was changed meanwhile.
const rotateTries = 3

// A Rotation is a copy of mutable things under new keys.
type Rotation struct {
	// Moved holds the write capability of each copy, by the tree.ID of what it is a copy of.
	Moved map[string]capability.Capability
	// Former are the write capabilities of what was copied.
	Former []capability.Capability
	Copied
}

// Replaces returns the capability that takes the place of another one and gives the same authority: c itself where nothing
// takes its place.
func (r *Rotation) Replaces(c capability.Capability) (capability.Capability, bool) {
	made, moved := r.Moved[tree.ID(c)]
	if !moved || tree.ID(c) == "" {
		return c, false
	}
	var err error
	switch c.Authority() {
	case capability.AuthorityWrite:
	case capability.AuthorityRead:
		made, err = made.Read()
	default:
		made, err = made.Verify()
	}
	return made, err == nil
}

// Rotate makes a directory or a mutable file anew under another key, with all that is reached from it through write capabilities:
// who knows the former keys reads nothing that is written to the copies. Immutable things and what is linked for reading only stay
// as they are, and so does what keep says, with everything in it. The copies link to each other as what they are copies of does,
// cycles too. Nothing leads to them yet: the caller puts them in place. The copies are what was there at one time; it returns
// ErrBusy when that cannot be had.
func (g *Grid) Rotate(ctx context.Context, c capability.Capability, keep func(id string) bool, progress func(Copied)) (*Rotation, error) {
	for range rotateTries {
		r := &rotator{g: g, Rotation: Rotation{Moved: map[string]capability.Capability{}}, keep: keep, progress: progress}
		if err := r.find(ctx, c); err != nil {
			return nil, err
		}
		if err := r.copy(ctx); err != nil {
			return nil, err
		}
		changed, err := r.changed(ctx)
		if err != nil {
			return nil, err
		}
		if !changed {
			r.Former = r.found
			return &r.Rotation, nil
		}
	}
	return nil, ErrBusy
}

// End makes the newest version of a directory or a mutable file the last one: who still knows its keys is told so, and writes nothing more
// into what nobody looks at. It takes the write capability.
func (g *Grid) End(ctx context.Context, c capability.Capability) error {
	if c.Kind() == capability.KindDir {
		_, err := g.dirs.Update(ctx, c, func(e *dir.Editor) error {
			e.End()
			return nil
		})
		if errors.Is(err, mutable.ErrEnded) {
			return nil
		}
		return err
	}
	if err := c.Want(capability.KindMutable); err != nil {
		return err
	}
	key, _ := c.WriteKey()
	_, err := g.files.End(ctx, key)
	return err
}

type rotator struct {
	Rotation
	g        *Grid
	keep     func(string) bool
	progress func(Copied)
	found    []capability.Capability   // what is copied, each once
	digests  map[string]share.Digest   // of the versions that are copied, by tree.ID
	opened   map[string]*dir.Directory // by tree.ID
}

// find finds everything that is to be copied, and gives it new keys.
func (r *rotator) find(ctx context.Context, c capability.Capability) error {
	r.digests, r.opened = map[string]share.Digest{}, map[string]*dir.Directory{}
	r.add(c)
	if len(r.found) == 0 {
		return fmt.Errorf("%w: it has no key that could be changed", share.ErrReadOnly)
	}
	for i := 0; i < len(r.found); i++ { // grows meanwhile
		if err := ctx.Err(); err != nil {
			return err
		}
		d, id := r.found[i], tree.ID(r.found[i])
		if d.Kind() != capability.KindDir {
			continue
		}
		x, err := r.g.dirs.Open(ctx, d)
		if err != nil {
			return err
		}
		r.opened[id], r.digests[id] = x, x.Version().Digest
		for entry, err := range x.All(ctx) {
			if err != nil {
				return err
			}
			r.add(entry.Capability)
		}
	}
	return nil
}

func (r *rotator) add(c capability.Capability) {
	id := tree.ID(c)
	if _, seen := r.Moved[id]; seen || id == "" || len(r.found) > 0 && r.keep != nil && r.keep(id) {
		return
	}
	switch c.Kind() {
	case capability.KindDir:
		r.Moved[id] = capability.Directory(keys.NewWriteKey())
	case capability.KindMutable:
		r.Moved[id] = capability.Mutable(keys.NewWriteKey())
	default:
		return
	}
	r.found = append(r.found, c)
}

func (r *rotator) copy(ctx context.Context) error {
	for _, c := range r.found {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := tree.ID(c)
		key, _ := r.Moved[id].WriteKey()
		var err error
		if x := r.opened[id]; x != nil {
			err = r.directory(ctx, key, x)
			r.Directories++
		} else {
			err = r.file(ctx, key, c)
			r.Files++
		}
		if err != nil {
			return err
		}
		if r.progress != nil {
			r.progress(r.Copied)
		}
	}
	return nil
}

func (r *rotator) directory(ctx context.Context, key keys.WriteKey, x *dir.Directory) error {
	return r.g.dirs.CreateAt(ctx, key, func(yield func(dir.Entry, error) bool) {
		for entry, err := range x.All(ctx) {
			if err == nil && !entry.Capability.IsZero() {
				entry.Capability, _ = r.Replaces(entry.Capability)
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	})
}

func (r *rotator) file(ctx context.Context, key keys.WriteKey, c capability.Capability) error {
	v, err := r.g.files.Read(ctx, c)
	if err != nil {
		return err
	}
	r.digests[tree.ID(c)] = v.Head.Digest
	in, err := v.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = r.g.store(ctx, key, nil, in)
	return err
}

// changed reports whether something was changed since it was copied.
func (r *rotator) changed(ctx context.Context) (bool, error) {
	for _, c := range r.found {
		v, err := r.g.files.Read(ctx, c)
		if err != nil {
			return false, err
		}
		if v.Head.Digest != r.digests[tree.ID(c)] {
			return true, nil
		}
	}
	return false, nil
}

// Relink puts copies in the place of what they are copies of in one directory, as one write: all entries, or only the one with a
// name. It returns how many it changed.
func (g *Grid) Relink(ctx context.Context, in capability.Capability, only string, r *Rotation) (changed int, err error) {
	_, err = g.dirs.Update(ctx, in, func(e *dir.Editor) error {
		changed = 0
		var entries []dir.Entry
		if only != "" {
			entry, err := e.Get(only)
			if err != nil {
				return err
			}
			entries = append(entries, entry)
		} else {
			for entry, err := range e.All() {
				if err != nil {
					return err
				}
				entries = append(entries, entry)
			}
		}
		for _, entry := range entries {
			made, moved := r.Replaces(entry.Capability)
			if !moved {
				continue
			}
			entry.Capability = made
			changed++
			if err := e.Set(entry); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}
