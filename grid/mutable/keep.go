package mutable

import (
	"context"
	"errors"
	"slices"
	"time"

	"cairn/grid/file"
	"cairn/share"
	"cairn/share/head"
)

// KeptFor is how long a version that lost a collision is kept where that was asked for.
const KeptFor = 7 * 24 * time.Hour

// A Keeper is a Memory that also remembers versions which lost a collision: no server need have them among its heads. It is safe
// for concurrent use.
type Keeper interface {
	// Keep remembers a version until a time. Of many of one name the oldest are forgotten first.
	Keep(h head.Head, until time.Time) error
	// Kept returns what is remembered of a name.
	Kept(share.Name) ([]head.Head, error)
}

// maxKept is how many versions of a name are kept in memory.
const maxKept = 100

type kept struct {
	head  head.Head
	until time.Time
}

// Keep implements Keeper.
func (m *memory) Keep(h head.Head, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := append(m.kept[h.Name], kept{h, until})
	m.kept[h.Name] = list[max(0, len(list)-maxKept):]
	return nil
}

// Kept implements Keeper.
func (m *memory) Kept(name share.Name) ([]head.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[name] = slices.DeleteFunc(m.kept[name], func(k kept) bool { return time.Now().After(k.until) })
	var heads []head.Head
	for _, k := range m.kept[name] {
		heads = append(heads, k.head)
	}
	return heads, nil
}

// keep stores what lost a collision on its own, where that was asked for, and reports whether it did.
func (w *write) keep(ctx context.Context, err error) bool {
	var collision *CollisionError
	keeper, keeps := w.m.env.Memory.(Keeper)
	if !w.o.Keep || !keeps || !errors.As(err, &collision) {
		return false
	}
	if len(w.parcels) > 0 { // a large version was stored before its head
		_, err = file.UploadBatch(ctx, w.m.env.Servers(ctx), []file.SmallFile{{Encoded: w.parcels[0]}}, file.BatchOptions{
			Params: w.params, Owner: w.m.env.Owner, Lease: w.m.env.Lease(), Log: w.m.env.Logger,
		})
	} else {
		err = nil
	}
	until := time.Now().Add(min(KeptFor, w.m.env.Lease()))
	if err == nil {
		err = keeper.Keep(collision.Ours, until)
	}
	if err != nil {
		w.m.env.Logger.Warn("could not keep a version that lost a collision", "name", w.name.String(), "version", collision.Ours.Sequence, "error", err)
		return false
	}
	collision.Kept = until
	return true
}

// kept returns the versions of a name that lost a collision and are kept here.
func (m *Files) kept(name share.Name) []head.Head {
	keeper, ok := m.env.Memory.(Keeper)
	if !ok {
		return nil
	}
	heads, err := keeper.Kept(name)
	if err != nil {
		m.env.Logger.Warn("could not find out which versions are kept here", "name", name.String(), "error", err)
	}
	return heads
}
