package mutable

import (
	"context"

	"cairn/grid/health"
	"cairn/grid/placement"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

// Confirm makes sure that the version that a Read gave counts as written. Where Confirmed says so it returns it as it is;
// otherwise it writes the same content once more, as the next version, with the errors of Write. Whoever finds that a change
// is there already, and reports success for that reason, confirms the version first.
func (m *Files) Confirm(ctx context.Context, key keys.WriteKey, v *Version, o WriteOptions) (*Version, error) {
	if v.Confirmed {
		return v, nil
	}
	r, err := v.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return m.Write(ctx, key, v, section(ctx, r, 0, r.Size()), o)
}

// heal restores the files of a version before that was not confirmed: the writer who left it may have stored them on a few
// servers only, and the next version promises more. What cannot be restored is left to a later repair.
func (w *write) heal(ctx context.Context) {
	if w.base.Confirmed || w.base.Head.Sequence == 0 || w.o.All == nil {
		return
	}
	needed, err := w.o.All(ctx)
	if err != nil {
		w.m.env.Logger.Warn("could not list what a version needs", "name", w.name.String(), "error", err)
		return
	}
	needed = distinct(needed, w.adds)
	for _, index := range w.unhappy(ctx, needed) {
		_, err := health.Repair(ctx, w.m.env.Servers(ctx), index, health.Options{Happy: w.params.Happy, Lease: w.m.lease(), Logger: w.m.env.Logger})
		if err != nil {
			w.m.env.Logger.Warn("could not restore a file that a version needs", "name", capability.NameOf(w.key).String(),
				"file", index.String(), "error", err)
		}
	}
}

// unhappy returns the files that are on too few servers, asking each server once.
func (w *write) unhappy(ctx context.Context, indexes []share.StorageIndex) []share.StorageIndex {
	holders := make([]map[share.ServerID][]share.Number, len(indexes))
	for i := range holders {
		holders[i] = map[share.ServerID][]share.Number{}
	}
	for _, a := range w.m.numbers(ctx, w.servers, indexes) {
		for i, held := range a.held {
			if len(held.Numbers) > 0 && share.IndexOf(held.Root) == indexes[i] {
				holders[i][a.server.ID] = held.Numbers
			}
		}
	}
	var unhappy []share.StorageIndex
	for i, index := range indexes {
		if placement.Happiness(holders[i]) < w.params.Happy {
			unhappy = append(unhappy, index)
		}
	}
	return unhappy
}
