package dir

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cairn/grid/dir/page"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
)

// A merge is what a directory in memory has beyond its newest version, where it brings forks together.
type merge struct {
	// forks are the versions whose content was brought in.
	forks []Version
	// added are pages that exist in memory only, dropped those of the newest version and of the forks that the merged tree
	// does not have.
	added   map[share.StorageIndex]Page
	dropped map[share.StorageIndex]bool
}

// merged brings the newest version of a directory and forks of it together: what either side changed since their common
// ancestor is changed. Nothing is written until the next Update. The outcome depends on the versions alone.
func (d *Dirs) merged(ctx context.Context, x *Directory, forks []Version, own func(Version) *trial) (*Directory, error) {
	oldest := x.version.Sequence
	for _, fork := range forks {
		oldest = min(oldest, fork.Sequence)
		if t := own(fork); t != nil {
			oldest = min(oldest, t.base.oldest())
		}
	}
	var merged *Directory
	err := d.inHistory(ctx, x.c, oldest-min(oldest, around), func(history []Version, since uint64) error {
		l := newLineage(append(history, forks...), x.version)
		l.since = since
		var err error
		merged, err = x.bringAll(ctx, l, forks, own)
		return err
	})
	return merged, err
}

// around is how far below forks their common ancestor is looked for at first.
const around = 8

// inHistory calls decide with the versions of a directory from a sequence on, and with all of them where these do not tell.
func (d *Dirs) inHistory(ctx context.Context, c capability.Capability, since uint64, decide func([]Version, uint64) error) error {
	for {
		history, err := d.Files.History(ctx, c, since)
		if err != nil {
			return fmt.Errorf("directory %v: history: %w", c, err)
		}
		if err = decide(history, since); since == 0 || !errors.Is(err, errUnclear) {
			return err
		}
		since = 0
	}
}

// oldest returns the lowest sequence of the versions that a directory is made of.
func (x *Directory) oldest() uint64 {
	oldest := x.version.Sequence
	for _, v := range x.parts() {
		oldest = min(oldest, v.Sequence)
	}
	return oldest
}

// bringAll brings forks in, the newest first.
func (x *Directory) bringAll(ctx context.Context, l *lineage, forks []Version, own func(Version) *trial) (*Directory, error) {
	forks = slices.Clone(forks)
	slices.SortFunc(forks, func(a, b Version) int { return compareVersions(b, a) })
	var behind []Version
	for _, fork := range forks {
		if l.ours[fork.Digest] { // an ancestor, brought together before, or left behind by its writer
			if !l.inside[fork.Digest] {
				behind = append(behind, fork)
			}
			continue
		}
		t := own(fork)
		merged, err := x.bringIn(ctx, l, fork, t)
		if err != nil {
			return nil, fmt.Errorf("directory %v: bring version %d together with %d: %w", x.c, fork.Sequence, x.version.Sequence, err)
		}
		x = merged
		if t == nil {
			l.add(fork)
			continue
		}
		behind = append(behind, fork)
		l.add(t.base.parts()...)
		l.follow(fork)
	}
	if len(behind) > 0 {
		left := *x
		left.behind = behind
		x = &left
	}
	return x, nil
}

// bringIn brings one fork in. Of one's own trial it brings in what that was made from, and not what it changed.
func (x *Directory) bringIn(ctx context.Context, l *lineage, fork Version, own *trial) (*Directory, error) {
	if own != nil && l.has(own.base) {
		return x.with(ctx, nil, own.after, nil)
	}
	brought := []Version{fork}
	other := fork
	if own != nil {
		other = Version{Sequence: fork.Sequence}
		for _, v := range own.base.parts() {
			other.Parents = append(other.Parents, v.Digest)
			if _, known := l.versions[v.Digest]; !known {
				l.versions[v.Digest] = v
			}
		}
		brought = slices.DeleteFunc(own.base.parts(), func(v Version) bool { return l.inside[v.Digest] })
	}
	ancestor, err := l.ancestor(other)
	if err != nil {
		return nil, err
	}
	return x.mergeWith(ctx, fork, ancestor, own, brought)
}

// parts returns the versions that a directory has the content of.
func (x *Directory) parts() []Version {
	parts := []Version{x.version}
	if x.merge != nil {
		parts = append(parts, x.merge.forks...)
	}
	return parts
}

// compareVersions orders versions of one directory as every reader does: by sequence, then by digest.
func compareVersions(a, b Version) int {
	if a.Sequence != b.Sequence {
		return cmp.Compare(a.Sequence, b.Sequence)
	}
	return bytes.Compare(a.Digest[:], b.Digest[:])
}

// A lineage knows which version follows which.
type lineage struct {
	versions map[share.Digest]Version
	since    uint64                // the sequence below which nothing was asked for
	cut      uint64                // the newest version of ours before which one is missing
	ours     map[share.Digest]bool // what the merged version follows: its ancestors and itself
	inside   map[share.Digest]bool // those of ours that were not only left behind
}

func newLineage(known []Version, newest Version) *lineage {
	l := &lineage{versions: map[share.Digest]Version{}, ours: map[share.Digest]bool{}, inside: map[share.Digest]bool{}}
	for _, v := range append(known, newest) {
		v.Cut = v.Cut || l.versions[v.Digest].Cut // History alone tells
		l.versions[v.Digest] = v
	}
	l.add(newest)
	return l
}

// add makes versions and their ancestors part of the merged version.
func (l *lineage) add(versions ...Version) {
	for _, v := range versions {
		l.follow(v)
		l.walk(v, func(v Version) []share.Digest {
			if l.inside[v.Digest] {
				return nil
			}
			l.inside[v.Digest] = true
			return v.parts()
		})
	}
}

// follow has the merged version follow one whose content it does not have.
func (l *lineage) follow(v Version) {
	l.walk(v, func(v Version) []share.Digest {
		if l.ours[v.Digest] {
			return nil
		}
		l.ours[v.Digest] = true
		l.cut = max(l.cut, cutAt(v))
		return v.Parents
	})
}

// parts returns versions and the known ones whose content went into them.
func (l *lineage) parts(versions ...Version) map[share.Digest]bool {
	parts := map[share.Digest]bool{}
	for _, v := range versions {
		l.walk(v, func(v Version) []share.Digest {
			if parts[v.Digest] {
				return nil
			}
			parts[v.Digest] = true
			return v.parts()
		})
	}
	return parts
}

// parts returns the versions that one has the content of.
func (v Version) parts() []share.Digest {
	return v.tied(func(tie head.Tie) bool { return tie != head.Left })
}

// behind returns the versions whose change its writer has made once more in this one, or given up.
func (v Version) behind() []share.Digest {
	return v.tied(func(tie head.Tie) bool { return tie != head.Has })
}

func (v Version) tied(by func(head.Tie) bool) []share.Digest {
	var out []share.Digest
	for i, parent := range v.Parents {
		tie := head.Has
		if i < len(v.Ties) {
			tie = v.Ties[i]
		}
		if by(tie) {
			out = append(out, parent)
		}
	}
	return out
}

// cutAt returns the sequence of a version before which one is missing, otherwise 0.
func cutAt(v Version) uint64 {
	if v.Cut {
		return v.Sequence
	}
	return 0
}

// walk calls visit for a version and its known ancestors. It goes on behind those of its parents that visit returns.
func (l *lineage) walk(v Version, visit func(Version) []share.Digest) {
	seen := map[share.Digest]bool{}
	for todo := []Version{v}; len(todo) > 0; {
		v, todo = todo[0], todo[1:]
		if seen[v.Digest] {
			continue
		}
		seen[v.Digest] = true
		if known, ok := l.versions[v.Digest]; ok {
			v = known
		}
		for _, parent := range visit(v) {
			if p, ok := l.versions[parent]; ok {
				todo = append(todo, p)
			}
		}
	}
}

// ancestor returns the newest version that both the merged version and another one follow, nil when none is kept any more. It
// returns an error where one that is not found now may be newer.
func (l *lineage) ancestor(other Version) (*Version, error) {
	var newest *Version
	cut := l.cut
	l.walk(other, func(v Version) []share.Digest {
		if !l.ours[v.Digest] {
			cut = max(cut, cutAt(v))
			return v.Parents
		}
		if newest == nil || compareVersions(v, *newest) > 0 {
			newest = &v
		}
		return nil
	})
	if newest == nil && l.since > 0 || cut > 0 && (newest == nil || newest.Sequence < cut) {
		return nil, errUnclear
	}
	return newest, nil
}

// mergeWith brings one fork in, which adds these versions.
func (x *Directory) mergeWith(ctx context.Context, fork Version, ancestor *Version, own *trial, brought []Version) (*Directory, error) {
	var theirs, stored *Directory
	if own != nil {
		theirs, stored = own.base, own.after
	} else {
		opened, err := x.d.OpenVersion(ctx, x.c, fork)
		if err != nil {
			return nil, err
		}
		theirs, stored = opened, opened
	}
	base := &Directory{d: x.d, c: x.c} // empty: where nothing is known of before, everything is new
	if ancestor != nil {
		switch found, err := x.d.OpenVersion(ctx, x.c, *ancestor); {
		case err == nil:
			base = found
		case !notFound(err):
			return nil, err
		}
	}
	changes, err := x.bring(ctx, base, theirs, fork.Written)
	if err != nil {
		return nil, err
	}
	return x.with(ctx, changes, stored, brought)
}

// bring returns the changes to x that make it have what theirs changed since base.
func (x *Directory) bring(ctx context.Context, base, theirs *Directory, written time.Time) (map[string]*page.Entry, error) {
	mine, err := diff(ctx, base.tree(), x.tree())
	if err != nil {
		return nil, err
	}
	others, err := diff(ctx, base.tree(), theirs.tree())
	if err != nil {
		return nil, err
	}
	e := &Editor{ctx: ctx, base: x, changes: map[string]*page.Entry{}}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		their := others[name]
		my, both := mine[name]
		switch {
		case !both, my == nil && their != nil:
			e.changes[name] = their
		case my == nil || their == nil || my.SameThing(*their): // ours is the newer one, or what is left
		default:
			if err := e.keepBoth(*their, theirs, written); err != nil {
				return nil, err
			}
		}
	}
	return e.changes, nil
}

// keepBoth puts an entry whose name leads elsewhere in the newer version under another name.
func (e *Editor) keepBoth(their page.Entry, theirs *Directory, written time.Time) error {
	for n := 1; ; n++ {
		name := conflictName(their.Name, written, n)
		there, err := e.get(name)
		if err == nil {
			if moved, err := e.base.renamed(their, name); err == nil && there.SameThing(moved) {
				return nil // brought together before
			}
			continue
		}
		if !notFound(err) {
			return err
		}
		if _, err := theirs.tree().lookup(e.ctx, name); err == nil {
			continue
		} else if !notFound(err) {
			return err
		}
		moved, err := e.base.renamed(their, name)
		if err == nil {
			e.changes[name] = &moved
		}
		return err
	}
}

// conflictName returns "name (conflict 2026-11-22)", or with a number behind the date, cut to the length of names.
func conflictName(name string, at time.Time, n int) string {
	mark := " (conflict " + at.UTC().Format(time.DateOnly) + ")"
	if n > 1 {
		mark = fmt.Sprintf("%s, %d)", strings.TrimSuffix(mark, ")"), n)
	}
	for len(name)+len(mark) > MaxName {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	return name + mark
}

// with returns x with changes, which bring versions in, without the pages that it does not need of a fork.
func (x *Directory) with(ctx context.Context, changes map[string]*page.Entry, theirs *Directory, brought []Version) (*Directory, error) {
	e := &Editor{ctx: ctx, base: x, changes: changes}
	items, err := e.items()
	if err != nil {
		return nil, err
	}
	b, root, err := x.build(ctx, items)
	if err != nil {
		return nil, err
	}
	m := &merge{added: b.added, dropped: b.dropped}
	if x.merge != nil {
		m.forks = slices.Clone(x.merge.forks)
	}
	m.forks = append(m.forks, brought...)
	after := &Directory{d: x.d, c: x.c, version: x.version, root: root, sealer: x.sealer, merge: m}
	kept, err := after.tree().indexes(ctx)
	if err != nil {
		return nil, err
	}
	forked, err := theirs.tree().indexes(ctx)
	if err != nil {
		return nil, err
	}
	for index := range forked {
		if !kept[index] {
			m.dropped[index] = true
		}
	}
	return after, nil
}

// diff returns the entries of b that a has not or has otherwise, and nil for those that a alone has. Pages that both have are
// not read.
func diff(ctx context.Context, a, b *tree) (map[string]*page.Entry, error) {
	inA, err := a.leaves(ctx)
	if err != nil {
		return nil, err
	}
	inB, err := b.leaves(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]*page.Entry{}
	before := map[string]page.Entry{}
	err = a.each(ctx, inA, inB, func(e page.Entry) { before[e.Name] = e; out[e.Name] = nil })
	if err != nil {
		return nil, err
	}
	err = b.each(ctx, inB, inA, func(e page.Entry) {
		if was, ok := before[e.Name]; ok && was.Equal(e) {
			delete(out, e.Name)
			return
		}
		out[e.Name] = &e
	})
	return out, err
}

// leaves returns the leaves by their storage index; a root that is a leaf is under the zero index.
func (t *tree) leaves(ctx context.Context) (map[share.StorageIndex]place, error) {
	out := map[share.StorageIndex]place{}
	if t.root.Level == 0 {
		out[share.StorageIndex{}] = place{page: t.root}
		return out, nil
	}
	return out, t.inner(ctx, place{page: t.root}, func(at place) {
		for i, ref := range at.page.Refs {
			if at.page.Level == 1 {
				out[ref.Index] = place{page: at.page, ref: ref, low: lowOf(at, i)}
			}
		}
	})
}

func lowOf(at place, i int) string {
	if i == 0 {
		return at.low
	}
	return at.page.Refs[i-1].Last
}

// inner calls visit for every page above the leaves.
func (t *tree) inner(ctx context.Context, at place, visit func(place)) error {
	if at.page.Level == 0 {
		return nil
	}
	visit(at)
	if at.page.Level == 1 {
		return nil
	}
	for from := 0; from < len(at.page.Refs); from += maxTogether {
		below, err := t.below(ctx, at.page, at.low, from, min(from+maxTogether, len(at.page.Refs)))
		if err != nil {
			return err
		}
		for _, p := range below {
			if err := t.inner(ctx, p, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// each calls visit for the entries of leaves that are not among others.
func (t *tree) each(ctx context.Context, leaves, others map[share.StorageIndex]place, visit func(page.Entry)) error {
	var refs []page.Ref
	for index, at := range leaves {
		if _, ok := others[index]; ok && !index.IsZero() {
			continue
		}
		if index.IsZero() {
			for _, e := range at.page.Entries {
				visit(e)
			}
			continue
		}
		refs = append(refs, at.ref)
	}
	for together := range slices.Chunk(refs, maxTogether) {
		pages, err := t.fetch(ctx, together)
		if err != nil {
			return err
		}
		for i, p := range pages {
			at := leaves[together[i].Index]
			if err := fits(at.page, at.ref, p, at.low); err != nil {
				return err
			}
			for _, e := range p.Entries {
				visit(e)
			}
		}
	}
	return nil
}

// indexes returns the storage indexes of all pages but the root.
func (t *tree) indexes(ctx context.Context) (map[share.StorageIndex]bool, error) {
	out := map[share.StorageIndex]bool{}
	return out, t.inner(ctx, place{page: t.root}, func(at place) {
		for _, ref := range at.page.Refs {
			out[ref.Index] = true
		}
	})
}
