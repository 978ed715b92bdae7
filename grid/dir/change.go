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
	// refusal says that it only takes back other trials.
	refusal bool
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
	var follows []Version
	for i := len(u.tried) - 1; i >= 0; i-- {
		if u.tried[i].left && u.tried[i].safe {
			follows = append(follows, u.tried[i].version)
		}
	}
	refusal := false
	tried, err := u.d.attempt(ctx, x, func(e *Editor) error {
		err := edit(e)
		refusal, u.retention, u.ended = e.refusal, e.retention, e.ended
		return err
	}, follows)
	var collision *mutable.CollisionError
	if !errors.As(err, &collision) {
		return tried, err
	}
	u.tried = append(u.tried, trial{
		base: x, after: tried, version: VersionOf(collision.Ours), left: collision.Left, refusal: refusal,
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
	left := slices.ContainsFunc(u.tried, func(t trial) bool { return t.left })
	var refused error
	after, err := u.write(ctx, x, func(e *Editor) error {
		e.changes = maps.Clone(undo)
		if done {
			u.ofHead(e)
			return nil
		}
		if refused = u.edit(e); refused != nil {
			e.changes, e.refusal = maps.Clone(undo), true
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

// ofHead makes the version say what the change says beside the entries, which nobody brings in who brings these together.
func (u *change) ofHead(e *Editor) {
	if u.retention != (share.Retention{}) {
		e.Retain(u.retention)
	}
	if u.ended {
		e.End()
	}
}

// outcome finds out what has become of the trials in x. The change is done where x was made from one of them. Where one was brought
// in beside what somebody else wrote, undo is what removes it again: bringing together decides otherwise than the change would.
func (u *change) outcome(ctx context.Context, x *Directory) (done bool, undo map[string]*page.Entry, err error) {
	if !slices.ContainsFunc(u.tried, func(t trial) bool { return t.left }) {
		return false, map[string]*page.Entry{}, nil // nobody can have found one, and who looks into the history of a busy directory is late again
	}
	since := x.version.Sequence
	for _, t := range u.tried {
		since = min(since, t.base.oldest())
	}
	err = u.d.inHistory(ctx, u.c, since, func(history []Version, _ uint64) (err error) {
		done, undo, err = u.found(ctx, x, history)
		return err
	})
	return done, undo, err
}

// found is outcome in a history that goes back to what the trials were made from.
func (u *change) found(ctx context.Context, x *Directory, history []Version) (done bool, undo map[string]*page.Entry, err error) {
	newest := []Version{x.version}
	if x.merge != nil {
		newest = append(newest, x.merge.forks...)
	}
	l := newLineage(append(history, newest...), x.version)
	for _, v := range newest {
		l.add(v)
	}
	undo = map[string]*page.Entry{}
	for i := len(u.tried) - 1; i >= 0; i-- {
		t := &u.tried[i]
		t.safe = l.has(t.base)
		tried := t.version
		tried.Sequence = t.base.version.Sequence + 1 // it may have been signed more than once, under higher sequences
		beside, is, err := u.broughtIn(l, x, tried)
		if err == nil && is && !t.refusal {
			var taken bool
			taken, err = t.taken(ctx, beside, undo, x)
			done = done || taken
		}
		if err != nil {
			return false, nil, fmt.Errorf("directory %v: find out what became of a change: %w", u.c, err)
		}
	}
	return done, undo, nil
}

// has reports whether all that a directory was made of is part of the merged version.
func (l *lineage) has(x *Directory) bool {
	return l.ours[x.version.Digest] && (x.merge == nil || !slices.ContainsFunc(x.merge.forks, func(fork Version) bool { return !l.ours[fork.Digest] }))
}

// taken reports whether a trial that is part of x took effect: x was made from it, or it was brought together with versions that had
// left alone what it changed. Otherwise it adds to undo what takes it out again.
func (t *trial) taken(ctx context.Context, beside []Version, undo map[string]*page.Entry, x *Directory) (bool, error) {
	changed, err := diff(ctx, t.base.tree(), t.after.tree())
	if err != nil {
		return false, err
	}
	for i, v := range beside {
		other, err := x.d.OpenVersion(ctx, x.c, v)
		if err != nil {
			return false, err
		}
		same, err := t.untouched(ctx, changed, other)
		if err != nil {
			return false, err
		}
		if !same {
			if i > 0 {
				other, err = x.d.OpenVersion(ctx, x.c, beside[0])
			}
			if err == nil {
				err = t.undo(ctx, changed, x, other, undo)
			}
			return false, err
		}
	}
	return true, nil
}

// untouched reports whether what the trial changed is in another version as it was before.
func (t *trial) untouched(ctx context.Context, changed map[string]*page.Entry, other *Directory) (bool, error) {
	for name := range changed {
		was, err := t.base.entryOrNil(ctx, name)
		if err != nil {
			return false, err
		}
		is, err := other.entryOrNil(ctx, name)
		if err != nil || (was == nil) != (is == nil) || was != nil && !was.Equal(*is) {
			return false, err
		}
	}
	return true, nil
}

// broughtIn reports whether a trial is part of x. Where x was not made from it, but somebody brought it together with another version, it
// returns that one; and where that was done more than once on the way, the others too.
func (u *change) broughtIn(l *lineage, x *Directory, tried Version) (beside []Version, is bool, err error) {
	beside, is, err = u.within(l, x.version, tried)
	if is || err != nil || x.merge == nil {
		return beside, is, err
	}
	for _, fork := range x.merge.forks {
		if u.own(fork) == nil && u.reaches(l, fork, tried) {
			beside, is, err = u.within(l, fork, tried)
			return append([]Version{x.version}, beside...), is, err
		}
	}
	return nil, false, nil
}

// within is broughtIn for one version. Of those that brought the trial in, the first one counts: those that came later had it.
func (u *change) within(l *lineage, newest, tried Version) (beside []Version, is bool, err error) {
	var before, through *Version
	for at := l.versions[newest.Digest]; at.Sequence >= tried.Sequence; {
		if at.Root == tried.Root {
			return nil, true, nil
		}
		if len(at.Parents) == 0 {
			break
		}
		replaced, known := l.versions[at.Parents[0]]
		if !known && at.Cut {
			return nil, false, errUnclear
		}
		if !known {
			break
		}
		for _, digest := range at.Parents[1:] {
			if other, ok := l.versions[digest]; ok && u.own(at) == nil && u.reaches(l, other, tried) {
				before, through = &replaced, &other
			}
		}
		at = replaced
	}
	if through == nil {
		return nil, false, nil
	}
	beside, _, err = u.within(l, *through, tried)
	return append([]Version{*before}, beside...), true, err
}

// reaches reports whether a trial is part of a version. What a trial follows beside the version that it was made from, is not.
func (u *change) reaches(l *lineage, v, tried Version) bool {
	found := false
	l.walk(v, func(v Version) []share.Digest {
		found = found || v.Root == tried.Root
		switch {
		case found:
			return nil
		case u.own(v) != nil:
			return v.Parents[:min(1, len(v.Parents))]
		}
		return v.Parents
	})
	return found
}

// undo adds what takes a trial out of x, into which it was brought beside another version.
func (t *trial) undo(ctx context.Context, changed map[string]*page.Entry, x, beside *Directory, undo map[string]*page.Entry) error {
	for name, entry := range changed {
		there, err := x.entryOrNil(ctx, name)
		if err != nil {
			return err
		}
		was, err := beside.entryOrNil(ctx, name)
		switch {
		case err != nil:
			return err
		case entry == nil:
			if there == nil && was != nil {
				undo[name] = was
			}
			continue
		case there != nil && there.Equal(*entry) && (was == nil || !was.Equal(*entry)):
			undo[name] = was
		}
		if err := t.undoConflict(ctx, x, *entry, undo); err != nil {
			return err
		}
	}
	return nil
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
