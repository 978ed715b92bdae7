package dir

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cairn/grid/dir/page"
	"cairn/share"
)

// effects tell what the changes that went into a version have come to.
//
// Bringing versions together decides for every name whose entry goes on. So the entry of a name has one line of versions that made it what it
// is, one after the other, and a version that changed the name and is not on that line has lost what it did there. Where all of
// them wanted something else for the name it is kept under another one; where they led to the same thing, as where two counted its
// size up, one of the changes is gone. Nobody but its writer can make it again, and nobody knows which writers were told that
// theirs counts. But whoever was not told yet looks here, and makes its change once more where there are more writers than
// changes on the line: it does not matter which of them does.
type effects struct {
	u *change
	l *lineage
	x *Directory
	// top is x, or a version before whom those stand that x brings together.
	top Version
	// inside are the versions that have a part in x, and left those of them that left a version with this root behind.
	inside map[share.Digest]bool
	left   map[share.StorageIndex][]Version
	// origins are those that were found out.
	origins map[named]origin
}

// named is a name in a version, and what was left behind of it.
type named struct {
	digest  share.Digest
	name    string
	without string
}

// unwritten stands for the digest of a version that nobody has written yet.
var unwritten = share.Digest{1}

// effects looks at the past of x, given all that is known of it.
func (u *change) effects(l *lineage, x *Directory) *effects {
	e := &effects{u: u, l: l, x: x, top: x.version, left: map[share.StorageIndex][]Version{}, origins: map[named]origin{}}
	if x.merge != nil && len(x.merge.forks) > 0 {
		e.top = Version{Sequence: x.version.Sequence + 1, Digest: unwritten, Parents: []share.Digest{x.version.Digest}}
		for _, fork := range x.merge.forks {
			e.top.Sequence = max(e.top.Sequence, fork.Sequence+1)
			e.top.Parents = append(e.top.Parents, fork.Digest)
		}
		l.versions[e.top.Digest] = e.top
	}
	e.inside = l.parts(e.top)
	for _, v := range slices.Backward(e.ordered(e.inside)) {
		if len(e.left[v.Root]) > 0 {
			continue // who left it behind says once more what else is
		}
		for _, behind := range v.behind() {
			if b, known := l.versions[behind]; known && b.Root != v.Root {
				e.left[b.Root] = append(e.left[b.Root], v)
			}
		}
	}
	return e
}

// ordered returns versions, the newest last: those that a version was made from come before it.
func (e *effects) ordered(these map[share.Digest]bool) []Version {
	out := make([]Version, 0, len(these))
	for digest := range these {
		out = append(out, e.l.versions[digest])
	}
	slices.SortFunc(out, compareVersions)
	return out
}

// of returns the versions of a trial that have a part in x: it may have been signed more than once.
func (e *effects) of(t *trial) []Version {
	var out []Version
	for digest := range e.inside {
		if v := e.l.versions[digest]; v.Root == t.version.Root {
			out = append(out, v)
		}
	}
	return out
}

// A fate is what became of a trial that has a part in x.
type fate struct {
	changed map[string]*page.Entry
	done    bool
}

// fate finds out what became of a trial, given its versions that have a part in x.
func (e *effects) fate(ctx context.Context, t *trial, versions []Version) (f fate, err error) {
	f = fate{done: true}
	if f.changed, err = diff(ctx, t.base.tree(), t.after.tree()); err != nil {
		return f, err
	}
	contested, err := e.contested(ctx, f.changed, versions)
	if err == nil && contested && e.l.since > 0 {
		err = errUnclear // which needs all that is known
	}
	if err != nil || !contested {
		return f, err
	}
	for name, entry := range f.changed {
		line, err := e.line(ctx, t, name)
		if err != nil {
			return f, err
		}
		was, err := t.base.entryOrNil(ctx, name)
		if err == nil && entry != nil && was != nil {
			var short bool
			short, err = e.isShort(ctx, line, *entry)
			f.done = f.done && !short
		} else {
			f.done = f.done && e.isOurs(line)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// contested reports whether versions that were written beside a trial changed what it changed.
func (e *effects) contested(ctx context.Context, changed map[string]*page.Entry, versions []Version) (bool, error) {
	before := e.l.parts(versions...)
	after := e.after(versions)
	under := map[share.Digest]bool{}
	for _, v := range slices.Backward(e.ordered(e.inside)) {
		if before[v.Digest] || after[v.Digest] {
			continue
		}
		for _, parent := range v.parts() {
			under[parent] = true
		}
		if under[v.Digest] {
			continue // the newest of those that were written beside it tell
		}
		common, err := e.common(v, before)
		if err != nil {
			return false, err
		}
		for name := range changed {
			was, err := e.value(ctx, common, name)
			if err != nil {
				return false, err
			}
			is, err := e.value(ctx, v, name)
			if err != nil || !same(was, is) {
				return true, err
			}
		}
	}
	return false, nil
}

// after returns the versions inside that have a part of one of these.
func (e *effects) after(versions []Version) map[share.Digest]bool {
	after := map[share.Digest]bool{}
	for _, v := range versions {
		after[v.Digest] = true
	}
	for _, v := range e.ordered(e.inside) {
		after[v.Digest] = after[v.Digest] || slices.ContainsFunc(v.parts(), func(parent share.Digest) bool { return after[parent] })
	}
	return after
}

// common returns the newest part of a version that is among others; one without anything where none is known any more.
func (e *effects) common(v Version, others map[share.Digest]bool) (Version, error) {
	var newest Version
	cut := uint64(0)
	e.l.walk(v, func(v Version) []share.Digest {
		if !others[v.Digest] {
			cut = max(cut, cutAt(v))
			return v.parts()
		}
		if compareVersions(v, newest) > 0 {
			newest = v
		}
		return nil
	})
	if newest.Sequence < cut || newest.Sequence == 0 && e.l.since > 0 {
		return Version{}, errUnclear
	}
	return newest, nil
}

// A line is what made the entry of a name what it is in x.
type line struct {
	name string
	on   map[share.Digest]bool
	// since are the versions inside that are not part of where the line was left: a version that the trial was made from.
	since map[share.Digest]bool
}

// line follows a name back to what a trial was made from, and further to where nothing was made that was made again since.
func (e *effects) line(ctx context.Context, t *trial, name string) (line, error) {
	out := line{name: name, on: map[share.Digest]bool{}, since: map[share.Digest]bool{}}
	base := e.l.parts(t.base.parts()...)
	var before map[share.Digest]bool
	for v := e.top; ; {
		if base[v.Digest] {
			if before = e.l.parts(v); !e.remade(before) {
				break
			}
			before = nil
		}
		out.on[v.Digest] = true
		at, err := e.from(ctx, v, name)
		if err != nil {
			return out, err
		}
		if at.from == nil {
			break
		}
		v = *at.from
	}
	for digest := range e.inside {
		out.since[digest] = !before[digest]
	}
	return out, nil
}

// remade reports whether a change that went into one of these versions was made again, or given up, in one that is not among them.
func (e *effects) remade(these map[share.Digest]bool) bool {
	for digest := range these {
		if slices.ContainsFunc(e.left[e.l.versions[digest].Root], func(by Version) bool { return !these[by.Digest] }) {
			return true
		}
	}
	return false
}

// An origin is which version gave another one the entry of a name.
type origin struct {
	from  *Version // nil where it is not known any more
	entry *page.Entry
}

// from returns where the entry of a name came from, before the version's writer changed it. What the writer left behind has been taken
// back by then, where nothing was built upon it.
func (e *effects) from(ctx context.Context, v Version, name string) (origin, error) {
	return e.fromWithout(ctx, v, name, given{})
}

// fromWithout is from where other versions were left behind too.
func (e *effects) fromWithout(ctx context.Context, v Version, name string, also given) (origin, error) {
	g := e.given(v).and(also)
	of := named{v.Digest, name, g.key}
	at, known := e.origins[of]
	if known {
		return at, nil
	}
	at, err := e.origin(ctx, v, name, g)
	if err == nil {
		e.origins[of] = at
	}
	return at, err
}

func (e *effects) origin(ctx context.Context, v Version, name string, g given) (origin, error) {
	parts := v.parts()
	if len(parts) == 0 {
		return origin{}, nil
	}
	first, known := e.l.versions[parts[0]]
	if !known {
		if v.Cut {
			return origin{}, errUnclear
		}
		return origin{}, nil
	}
	at, err := e.without(ctx, first, name, g)
	if err != nil || len(parts) == 1 {
		return at, err
	}
	l := &lineage{versions: e.l.versions, ours: map[share.Digest]bool{}, inside: map[share.Digest]bool{}}
	l.add(first)
	for _, digest := range parts[1:] {
		fork, known := e.l.versions[digest]
		if !known || l.ours[digest] {
			continue
		}
		ancestor, err := l.ancestor(fork)
		if err != nil {
			return origin{}, err
		}
		var was *page.Entry
		if ancestor != nil {
			var before origin
			before, err = e.without(ctx, *ancestor, name, g)
			was = before.entry
		}
		if err != nil {
			return origin{}, err
		}
		theirs, err := e.without(ctx, fork, name, g)
		if err != nil {
			return origin{}, err
		}
		if !same(was, theirs.entry) && (same(was, at.entry) || at.entry == nil) {
			at = theirs
		}
		l.add(fork)
	}
	return at, nil
}

// given are versions that were left behind, by their roots, and those with a part of them.
type given struct {
	key   string // distinguishes them
	roots map[share.StorageIndex]bool
	after map[share.Digest]bool
}

// givenUp returns what versions with these roots are.
func (e *effects) givenUp(roots map[share.StorageIndex]bool, among map[share.Digest]bool) given {
	var left []Version
	var keys []string
	for digest := range among {
		if v := e.l.versions[digest]; roots[v.Root] {
			left = append(left, v)
			keys = append(keys, string(digest[:]))
		}
	}
	if len(left) == 0 {
		return given{}
	}
	slices.Sort(keys)
	return given{key: strings.Join(keys, ""), roots: roots, after: e.after(left)}
}

// given returns what went into a version that leaves it behind.
func (e *effects) given(v Version) given {
	roots := map[share.StorageIndex]bool{}
	for _, behind := range v.behind() {
		if b, known := e.l.versions[behind]; known {
			roots[b.Root] = true
		}
	}
	if len(roots) == 0 {
		return given{}
	}
	return e.givenUp(roots, e.l.parts(v))
}

func (g given) and(also given) given {
	switch {
	case g.key == "":
		return also
	case also.key == "":
		return g
	}
	both := given{key: g.key + " " + also.key, roots: maps.Clone(g.roots), after: maps.Clone(g.after)}
	maps.Copy(both.roots, also.roots)
	maps.Copy(both.after, also.after)
	return both
}

// without returns the entry of a name in a version as it was before the newest changes of it, where these were left behind.
func (e *effects) without(ctx context.Context, v Version, name string, g given) (origin, error) {
	entry, err := e.value(ctx, v, name)
	if err != nil || !g.after[v.Digest] {
		return origin{&v, entry}, err
	}
	before, err := e.from(ctx, v, name)
	if err != nil || before.from == nil || !g.roots[v.Root] && !same(entry, before.entry) {
		return origin{&v, entry}, err
	}
	return e.fromWithout(ctx, v, name, g)
}

// isOurs reports whether one of the caller's trials is on a line.
func (e *effects) isOurs(at line) bool {
	for digest := range at.on {
		if t := e.u.own(e.l.versions[digest]); t != nil && !t.settles {
			return true
		}
	}
	return false
}

// isShort reports whether the line of an entry has fewer changes than writers made that led to the same thing. Who made
// a change again has left the first one behind; the caller, who is one of these writers, may not have done so yet.
func (e *effects) isShort(ctx context.Context, at line, entry page.Entry) (bool, error) {
	missing, own := 1, 0
	for digest, since := range at.since {
		v := e.l.versions[digest]
		t := e.u.own(v)
		on, left := at.on[digest], len(e.left[v.Root]) > 0
		if !since || digest == unwritten || on && !left && t == nil || !on && (left || t != nil) || t != nil && t.settles {
			continue
		}
		is, was, err := e.made(ctx, v, at.name)
		if err != nil {
			return false, err
		}
		if is == nil || same(is, was) || !is.SameThing(entry) {
			continue
		}
		switch {
		case !on:
			missing++
		case !left:
			own++
		default:
			missing--
		}
	}
	return missing-own > 0, nil
}

// undo returns what takes trials out of x, as far as nothing was built upon them.
func (e *effects) undo(ctx context.Context, trials map[*trial]fate) (map[string]*page.Entry, error) {
	undo := map[string]*page.Entry{}
	roots := map[share.StorageIndex]bool{}
	for t := range trials {
		roots[t.version.Root] = true
	}
	g := e.givenUp(roots, e.inside)
	for t, f := range trials {
		for name, entry := range f.changed {
			there, err := e.x.entryOrNil(ctx, name)
			if err != nil {
				return nil, err
			}
			at, err := e.without(ctx, e.top, name, g)
			if err != nil {
				return nil, err
			}
			if !same(there, at.entry) {
				undo[name] = at.entry
			}
			if entry != nil {
				err = t.undoConflict(ctx, e.x, *entry, undo)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return undo, nil
}

// made returns the entry of a name in a version, and what it was before the version's writer changed it.
func (e *effects) made(ctx context.Context, v Version, name string) (is, was *page.Entry, err error) {
	if is, err = e.value(ctx, v, name); err == nil {
		var at origin
		at, err = e.from(ctx, v, name)
		was = at.entry
	}
	return is, was, err
}

// value returns the entry of a name in a version, nil where there is none. A version that is not kept any more counts as one that
// changed nothing.
func (e *effects) value(ctx context.Context, v Version, name string) (*page.Entry, error) {
	for {
		x, err := e.open(ctx, v)
		if err != nil {
			return nil, err
		}
		if x != nil {
			return x.entryOrNil(ctx, name)
		}
		parts := v.parts()
		if len(parts) == 0 {
			return nil, nil //nolint:nilnil // no entry is an answer
		}
		before, known := e.l.versions[parts[0]]
		if !known {
			return nil, nil //nolint:nilnil // no entry is an answer
		}
		v = before
	}
}

// open returns a version, nil where it is not kept any more.
func (e *effects) open(ctx context.Context, v Version) (*Directory, error) {
	if v.Digest == e.top.Digest {
		return e.x, nil
	}
	if t := e.u.own(v); t != nil {
		return t.after, nil
	}
	if x, opened := e.u.opened[v.Digest]; opened || v.Sequence == 0 {
		return x, nil
	}
	x, err := e.x.d.OpenVersion(ctx, e.x.c, v)
	if few := (*share.NotEnoughSharesError)(nil); errors.As(err, &few) && !notFound(err) {
		err = fmt.Errorf("%w: %w", errUnclear, err)
	}
	if err != nil && !notFound(err) {
		return nil, fmt.Errorf("version %d: %w", v.Sequence, err)
	}
	if err != nil {
		x = nil
	}
	if e.u.opened == nil {
		e.u.opened = map[share.Digest]*Directory{}
	}
	e.u.opened[v.Digest] = x
	return x, nil
}

func same(a, b *page.Entry) bool { return a == nil && b == nil || a != nil && b != nil && a.Equal(*b) }
