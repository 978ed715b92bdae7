package dir

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cairn/grid/dir/page"
	"cairn/grid/mutable"
	"cairn/share"
	"cairn/share/capability"
)

// A change is one run of Update.
//
// A version that lost a collision may stand on some servers, and somebody who finds it there may bring it together with others. So
// the change is made once more on the newest version without what came of it, in a version that follows it: then nobody
// brings it in any more.
type change struct {
	d     *Dirs
	c     capability.Capability
	edit  func(*Editor) error
	tried []trial
	// opened are versions that were looked at, nil for those that are not kept any more.
	opened map[share.Digest]*Directory
	// retention and ended are what the edit wanted the last time.
	retention share.Retention
	ended     bool
}

// A trial is a version that lost a collision.
type trial struct {
	base, after *Directory
	version     Version
	// left says that a server may have taken it.
	left bool
	// safe says that the newest version has everything that the trial was made from.
	safe bool
	// settles says that it makes no change, but settles what became of other trials.
	settles bool
	// inside are its versions that went into the newest one, counts says that they are what the change rests upon, and loose that
	// the newest one does not follow it yet, or not as one that was left behind.
	inside        []Version
	counts, loose bool
	// remade says that the newest one has it made again, or given up.
	remade bool
}

// own returns the trial whose version this is, nil where it is somebody else's. A version that was signed twice has one root.
func (u *change) own(v Version) *trial {
	for i := range u.tried {
		if u.tried[i].version.Root == v.Root {
			return &u.tried[i]
		}
	}
	return nil
}

// write tries to write the version that follows x.
func (u *change) write(ctx context.Context, x *Directory, edit func(*Editor) error) (*Directory, error) {
	var follows, out []Version
	for i := len(u.tried) - 1; i >= 0; i-- {
		switch t := &u.tried[i]; {
		case !t.left || !t.safe || t.counts || t.settles && len(t.inside) > 0:
		case len(t.inside) > 0:
			follows = append(append(follows, t.inside...), t.version)
		default:
			out = append(out, t.version)
		}
	}
	follows = append(follows, out...) // what went into x comes first: there may not be room for all
	settles := false
	tried, err := u.d.attempt(ctx, x, func(e *Editor) error {
		err := edit(e)
		settles, u.retention, u.ended = e.settles, e.retention, e.ended
		return err
	}, follows)
	var collision *mutable.CollisionError
	if !errors.As(err, &collision) {
		return tried, err
	}
	u.tried = append(u.tried, trial{
		base: x, after: tried, version: VersionOf(collision.Ours), left: collision.Left, settles: settles,
	})
	return nil, err
}

// again makes the change once more, on a newer version.
func (u *change) again(ctx context.Context, x *Directory) (*Directory, error) {
	if len(u.tried) == 0 {
		return u.write(ctx, x, u.edit)
	}
	done, undo, err := u.outcome(ctx, x)
	if err != nil {
		return nil, err
	}
	if done {
		x = u.accepted(x)
	}
	left := slices.ContainsFunc(u.tried, func(t trial) bool { return t.left })
	var refused error
	after, err := u.write(ctx, x, func(e *Editor) error {
		e.changes = maps.Clone(undo)
		if done {
			u.ofHead(e)
			e.settles = true
			e.insist = e.insist || slices.ContainsFunc(u.tried, func(t trial) bool { return t.loose && t.safe && !t.counts })
			return nil
		}
		if refused = u.edit(e); refused != nil {
			e.changes, e.settles = maps.Clone(undo), true
		}
		e.insist = e.insist || left
		return nil
	})
	switch {
	case refused == nil || errors.Is(err, share.ErrConflict):
		return after, err
	case err != nil:
		return nil, fmt.Errorf("take back a change that collided with another one: %w", err)
	}
	return nil, refused
}

// accepted returns x with the records of the trial that the change rests upon as parts of it: another one that was signed for the same
// version is not left behind.
func (u *change) accepted(x *Directory) *Directory {
	counts := func(v Version) bool {
		t := u.own(v)
		return t != nil && t.counts
	}
	if !slices.ContainsFunc(x.behind, counts) {
		return x
	}
	with, m := *x, merge{}
	if x.merge != nil {
		m = *x.merge
	}
	m.forks = slices.Clone(m.forks)
	with.merge, with.behind = &m, nil
	for _, v := range x.behind {
		if counts(v) {
			m.forks = append(m.forks, v)
		} else {
			with.behind = append(with.behind, v)
		}
	}
	return &with
}

// ofHead makes the version say what the change says beside the entries, which nobody brings in who brings these together.
func (u *change) ofHead(e *Editor) {
	if u.retention != (share.Retention{}) {
		e.Retain(u.retention)
	}
	if u.ended {
		e.End()
	}
}

// outcome finds out what has become of the trials in x. The change is done where one of them went into x and nothing is missing because
// of that. Otherwise undo is what takes out of x what they changed.
func (u *change) outcome(ctx context.Context, x *Directory) (done bool, undo map[string]*page.Entry, err error) {
	if !slices.ContainsFunc(u.tried, func(t trial) bool { return t.left }) {
		return false, map[string]*page.Entry{}, nil // nobody can have found one, and who looks into the history of a busy directory is late again
	}
	since := x.version.Sequence
	for _, t := range u.tried {
		since = min(since, t.base.oldest())
	}
	err = u.d.inHistory(ctx, u.c, since, func(history []Version, since uint64) (err error) {
		done, undo, err = u.found(ctx, x, history, since)
		return err
	})
	return done, undo, err
}

// found is outcome in a history that goes back to what the trials were made from.
func (u *change) found(ctx context.Context, x *Directory, history []Version, since uint64) (done bool, undo map[string]*page.Entry, err error) {
	l := newLineage(append(history, x.parts()...), x.version)
	l.since = since
	l.add(x.parts()...)
	e := u.effects(l, x)
	given := map[*trial]fate{}
	for i := len(u.tried) - 1; i >= 0; i-- {
		t := &u.tried[i]
		t.safe, t.inside, t.counts = l.has(t.base), e.of(t), false
		t.remade = len(e.left[t.version.Root]) > 0
		t.loose = t.left && !t.remade && !(t.settles && l.ours[t.version.Digest])
		if len(t.inside) == 0 || t.settles || t.remade {
			continue
		}
		f, err := e.fate(ctx, t, t.inside)
		if err != nil {
			return false, nil, fmt.Errorf("directory %v: find out what became of a change: %w", u.c, err)
		}
		t.counts = !done && f.done
		done = done || f.done
		if !t.counts {
			given[t] = f
		}
	}
	if undo, err = e.undo(ctx, given); err != nil {
		return false, nil, fmt.Errorf("directory %v: take back what became of a change: %w", u.c, err)
	}
	return done, undo, nil
}

// has reports whether all that a directory was made of is part of the merged version.
func (l *lineage) has(x *Directory) bool {
	return !slices.ContainsFunc(x.parts(), func(v Version) bool { return !l.ours[v.Digest] })
}

// undoConflict takes back an entry that was put under another name, because its own was taken.
func (t *trial) undoConflict(ctx context.Context, x *Directory, entry page.Entry, undo map[string]*page.Entry) error {
	for n := 1; ; n++ {
		name := conflictName(entry.Name, t.version.Written, n)
		there, err := x.entryOrNil(ctx, name)
		if err != nil || there == nil {
			return err
		}
		moved, err := x.renamed(entry, name)
		if err != nil {
			return err
		}
		if there.SameThing(moved) {
			undo[name] = nil
		}
	}
}

// entryOrNil returns the entry of a name, nil where there is none.
func (x *Directory) entryOrNil(ctx context.Context, name string) (*page.Entry, error) {
	e, err := x.tree().lookup(ctx, name)
	switch {
	case err == nil:
		return &e, nil
	case notFound(err):
		return nil, nil //nolint:nilnil // no entry is an answer
	}
	return nil, err
}
