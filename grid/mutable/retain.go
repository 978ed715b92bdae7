package mutable

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
	"cairn/share/keys"
)

// retainTries is how often Retain and End begin anew because somebody wrote a version meanwhile.
const retainTries = 5

// Retain writes a version of a mutable file that differs from the newest one only in which past versions are kept from it on. Nothing is
// uploaded where enough servers hold the contents. The errors are those of Write.
func (m *Files) Retain(ctx context.Context, key keys.WriteKey, r share.Retention) (*Version, error) {
	return m.again(ctx, key, func(v *Version) *WriteOptions {
		if v.Head.Retention() == r {
			return nil
		}
		return &WriteOptions{Retention: r}
	})
}

// End writes a version of a mutable file that differs from the newest one only in being the last one under the name: Write refuses to
// follow it with ErrEnded. One that has ended already is returned as it is.
func (m *Files) End(ctx context.Context, key keys.WriteKey) (*Version, error) {
	return m.again(ctx, key, func(v *Version) *WriteOptions {
		if v.Head.Ended {
			return nil
		}
		return &WriteOptions{Ended: true}
	})
}

// again writes the contents of the newest version as one with other options, unless there are none.
func (m *Files) again(ctx context.Context, key keys.WriteKey, other func(*Version) *WriteOptions) (*Version, error) {
	for try := 1; ; try++ {
		v, err := m.Read(ctx, capability.Mutable(key))
		if err != nil {
			return nil, err
		}
		o := other(v)
		if o == nil {
			return v, nil
		}
		next, err := m.restore(ctx, key, v, v.Head, *o)
		if try < retainTries && errors.Is(err, share.ErrConflict) && ctx.Err() == nil {
			continue
		}
		return next, err
	}
}

// Past returns the heads before one that was read as the newest that servers know of and its retention keeps, newest first. A server
// that does not answer is left out.
func (m *Files) Past(ctx context.Context, newest head.Head) []head.Head {
	known := m.lineage(ctx, newest.Name, 0)
	known.know(newest)
	heads := slices.SortedFunc(maps.Values(known.heads), func(a, b head.Head) int { return known.compare(b, a) })
	heads = slices.DeleteFunc(heads, func(h head.Head) bool { return h.Sequence >= newest.Sequence })
	r := newest.Retention()
	follower := newest
	for i, h := range heads {
		if i+1 >= min(r.Versions, share.MaxHistory) && time.Since(follower.Written) >= r.Age {
			return heads[:i]
		}
		follower = h
	}
	return heads
}

// A Keeping says how long a past version is kept: at least until a time, zero where that is over, and at least until so many more
// versions are written.
type Keeping struct {
	Until time.Time
	Newer int
}

// Kept returns how long the versions of a History are kept. The newest one is kept in any case, and what was refused by its own rule:
// they say nothing.
func Kept(history []Version, now time.Time) []Keeping {
	kept := make([]Keeping, len(history))
	var follower time.Time
	newer := 0
	for i, v := range history {
		if v.Refused {
			continue
		}
		if i > 0 {
			r := history[0].Head.Retention()
			if until := follower.Add(r.Age); until.After(now) {
				kept[i].Until = until
			}
			kept[i].Newer = max(0, r.Versions-newer)
		}
		follower = v.Head.Written
		newer++
	}
	return kept
}
