package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"cairn/grid/dir/page"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/encoding"
	"cairn/share/keys"
)

// How long a writer waits after a collision: a random time up to a bound that doubles.
const (
	firstWait = 10 * time.Millisecond
	// maxWait is the highest bound, or the time that the attempt took where that is longer. A longer one would let those win who
	// write without a pause.
	maxWait = 100 * time.Millisecond
	// maxTrying is how long one change is tried.
	maxTrying = 2 * time.Minute
	// maxApart is how long a change waits for a fork that is out of reach.
	maxApart = 10 * time.Second
)

// Entries returns a list as what Create and CreateImmutable take.
func Entries(entries ...Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Create makes a new directory with these entries and returns its write capability. The names must differ.
func (d *Dirs) Create(ctx context.Context, entries iter.Seq2[Entry, error]) (capability.Capability, error) {
	key := keys.NewWriteKey()
	c := capability.Directory(key)
	x := &Directory{d: d, c: c, sealer: page.NewSealer(key)}
	if _, err := d.write(ctx, x, func(e *Editor) error { return e.fill(entries) }); err != nil {
		return capability.Capability{}, fmt.Errorf("create directory: %w", err)
	}
	return c, nil
}

// CreateImmutable stores a directory that never changes and returns its read capability. The same entries give the same
// capability. It returns ErrMutable for an entry that can change, or that nobody knows not to.
func (d *Dirs) CreateImmutable(ctx context.Context, entries iter.Seq2[Entry, error]) (capability.Capability, error) {
	c, err := d.createImmutable(ctx, entries)
	if err != nil {
		return c, fmt.Errorf("create immutable directory: %w", err)
	}
	return c, nil
}

func (d *Dirs) createImmutable(ctx context.Context, entries iter.Seq2[Entry, error]) (none capability.Capability, err error) {
	e := &Editor{ctx: ctx, base: &Directory{d: d}, changes: map[string]*page.Entry{}}
	if err := e.fill(entries); err != nil {
		return none, err
	}
	changes, err := e.items()
	if err != nil {
		return none, err
	}
	params := d.Pages.Params(ctx)
	name := func(data []byte) (Page, error) {
		key := d.Secret.Convergent(sha256.Sum256(data), params.Needed, params.Total, encoding.BlockSizeFor(params.Total))
		return namePage(params, key, data)
	}
	b := newBuilder(e.base.tree(), d.pageBytes, name)
	root, err := b.build(ctx, changes)
	if err != nil {
		return none, err
	}
	top, err := name(root.Marshal())
	if err != nil {
		return none, err
	}
	if err := d.Pages.Store(ctx, append(slices.Collect(maps.Values(b.added)), top)); err != nil {
		return none, err
	}
	return capability.ImmutableDirectory(top.Index, top.Key), nil
}

// fill sets entries of which no two have one name.
func (e *Editor) fill(entries iter.Seq2[Entry, error]) error {
	if entries == nil {
		return nil
	}
	for entry, err := range entries {
		if err != nil {
			return err
		}
		raw, err := e.raw(entry)
		if err == nil && e.changes[raw.Name] != nil {
			err = share.ErrExists
		}
		if err != nil {
			return fmt.Errorf("entry %.300q: %w", entry.Name, err)
		}
		e.changes[raw.Name] = &raw
	}
	return nil
}

// Update changes a directory. The edits that the function makes are written as one version; where they make no
// difference nothing is written. When somebody else changed the directory meanwhile the function is called again on the newer
// version, so it must have no other effects, and what it returns decides: an error ends the Update and is returned as it is. The
// result is the version that has the changes.
func (d *Dirs) Update(ctx context.Context, c capability.Capability, edit func(*Editor) error) (*Directory, error) {
	if err := wantDirectory(c); err != nil {
		return nil, err
	}
	if c.Kind() != capability.KindDir {
		return nil, ReadOnly(c)
	}
	name, _ := c.Name()
	end, err := d.turns.Take(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := d.courtesy.wait(ctx, name); err != nil {
		return nil, err
	}
	u := &change{d: d, c: c, edit: edit}
	if x := newerOf(d.last.get(c), glancesOf(ctx).get(c)); x != nil && x.apart == nil {
		// What this process wrote last, or saw a moment ago, is mostly the newest still, and a write tells if it is not. Nobody is told anything
		// else by it: an error may come from what has changed since.
		var failed error
		after, err := u.write(ctx, x, func(e *Editor) error {
			failed = edit(e)
			return failed
		})
		if err == nil && after != x || err != nil && failed == nil && !errors.Is(err, share.ErrConflict) {
			return after, err
		}
		if errors.Is(err, share.ErrConflict) {
			d.courtesy.noticed(name)
		}
		d.last.forget(name)
	}
	return u.run(ctx, name)
}

// run makes the change on the newest version, and again on a newer one, until it does not collide.
func (u *change) run(ctx context.Context, name share.Name) (*Directory, error) {
	first := time.Now()
	for attempt := 0; ; attempt++ {
		begun := time.Now()
		x, err := u.d.openNewest(ctx, u.c, u.own)
		if err != nil {
			return nil, err
		}
		var after *Directory
		if err = x.apart; err == nil {
			after, err = u.again(ctx, x)
		}
		limit := maxTrying
		if x.apart != nil || errors.Is(err, errUnclear) {
			limit = maxApart // what is out of reach may have been acknowledged, or turn out to be what a loser left
		} else if !errors.Is(err, share.ErrConflict) {
			return after, err
		} else {
			u.d.courtesy.noticed(name)
		}
		if time.Since(first) > limit {
			return nil, err
		}
		u.d.Logger.Debug("directory changed meanwhile", "directory", u.c, "attempt", attempt, "error", err)
		if err := pause(ctx, attempt, time.Since(begun)); err != nil {
			return nil, err
		}
	}
}

// pause waits a random time, longer after more attempts.
func pause(ctx context.Context, attempt int, took time.Duration) error {
	return sleep(ctx, rand.N(min(max(maxWait, took), firstWait<<min(attempt, 10))))
}

// write makes the version that follows x.
func (d *Dirs) write(ctx context.Context, x *Directory, edit func(*Editor) error) (*Directory, error) {
	after, err := d.attempt(ctx, x, edit, nil)
	if err != nil {
		return nil, err
	}
	return after, nil
}

// attempt makes the version that follows x, and others that it leaves out. Where writing it fails the version comes with the error.
func (d *Dirs) attempt(ctx context.Context, x *Directory, edit func(*Editor) error, follows []Version) (*Directory, error) {
	e := &Editor{ctx: ctx, base: x, changes: map[string]*page.Entry{}}
	if err := edit(e); err != nil {
		return nil, err
	}
	changes, err := e.items()
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 && !e.insist && x.merge == nil && x.version.Sequence > 0 && !x.version.Unsure {
		return x, nil
	}
	build := x.build
	if e.anew {
		build = x.buildAnew
	}
	b, root, err := build(ctx, changes)
	if err != nil {
		return nil, err
	}
	w := Write{Data: root.Marshal(), Pages: slices.Collect(maps.Values(b.added)), Drops: slices.Collect(maps.Keys(b.dropped))}
	w.Follows = slices.Concat(x.behind, follows)
	w.Retention, w.Ended = e.retention, e.ended
	if x.version.Sequence > 0 {
		w.Bases = x.parts()
	}
	after := &Directory{d: d, c: x.c, root: root, sealer: x.sealer, merge: &merge{added: b.added}}
	w.All = func(ctx context.Context) ([]share.StorageIndex, error) {
		all, err := after.tree().indexes(ctx)
		return slices.Collect(maps.Keys(all)), err
	}
	key, _ := x.c.WriteKey()
	begun := time.Now()
	version, err := d.Files.Write(ctx, key, w)
	if err != nil {
		return after, fmt.Errorf("write directory %v: %w", x.c, err)
	}
	if name, _ := x.c.Name(); x.version.Sequence > 0 {
		d.courtesy.wrote(name, time.Since(begun))
	}
	d.remember(w.Pages)
	after = &Directory{d: d, c: x.c, version: version, root: root, sealer: x.sealer}
	d.last.put(after)
	glancesOf(ctx).wrote(after)
	return after, nil
}

// builder returns one that makes the pages of the next version out of those of a tree.
func (x *Directory) builder(ctx context.Context, old *tree) *builder {
	params := x.d.Pages.Params(ctx)
	return newBuilder(old, x.d.pageBytes, func(data []byte) (Page, error) {
		return namePage(params, keys.NewReadKey(), data)
	})
}

// buildAnew applies changes to the entries, and makes all pages anew.
func (x *Directory) buildAnew(ctx context.Context, changes []item) (*builder, page.Page, error) {
	var entries []item
	err := x.tree().entries(ctx, "", x.Len(), func(e page.Entry) bool {
		entries = append(entries, item{key: e.Name, entry: &e})
		return true
	})
	if err != nil {
		return nil, page.Page{}, err
	}
	var all []item
	mix(entries, changes, func(i item) { all = append(all, i) })
	b := x.builder(ctx, (&Directory{d: x.d}).tree())
	root, err := b.build(ctx, all)
	if err != nil {
		return nil, page.Page{}, err
	}
	before, err := x.tree().indexes(ctx)
	if x.merge != nil {
		maps.Copy(b.dropped, x.merge.dropped)
		maps.DeleteFunc(before, func(index share.StorageIndex, _ bool) bool {
			_, unwritten := x.merge.added[index]
			return unwritten
		})
	}
	for index := range before {
		b.dropped[index] = true
	}
	return b, root, err
}

// build applies changes to the tree.
func (x *Directory) build(ctx context.Context, changes []item) (*builder, page.Page, error) {
	b := x.builder(ctx, x.tree())
	if x.merge != nil {
		b.added, b.dropped = maps.Clone(x.merge.added), maps.Clone(x.merge.dropped)
	}
	root, err := b.build(ctx, changes)
	return b, root, err
}

// remember keeps pages that were just written, since they are the likeliest to be read.
func (d *Dirs) remember(pages []Page) {
	for _, written := range pages {
		if p, err := page.Parse(written.Data); err == nil {
			d.cache.put(page.Ref{Index: written.Index, Key: written.Key}, p, len(written.Data))
		}
	}
}

// namePage encodes a page, which tells the storage index that it will have.
func namePage(params share.Params, key keys.ReadKey, data []byte) (Page, error) {
	sealed, err := mutable.Seal(params, key, data)
	if err != nil {
		return Page{}, err
	}
	return Page{Index: sealed.Index(), Key: key, Data: data, Params: params, sealed: sealed}, nil
}
