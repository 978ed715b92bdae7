package mutable

import (
	"context"
	"fmt"

	"cairn/grid/health"
	"cairn/grid/placement"
	"cairn/share"
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

// heal restores what the next version takes over from one that was not confirmed, or from forks: their writers may have stored it
// on a few servers only, and this version promises more.
func (w *write) heal(ctx context.Context) error {
	if w.base.Confirmed && len(w.base.Forks) == 0 || w.base.Head.Sequence == 0 || w.o.All == nil {
		return nil
	}
	needed, err := w.o.All(ctx)
	if err != nil {
		return fmt.Errorf("list what the version needs: %w", err)
	}
	for _, index := range w.unhappy(ctx, distinct(needed, w.adds)) {
		r, err := health.Repair(ctx, w.m.env.Servers(ctx), index,
			health.Options{Happy: w.params.Happy, Lease: w.m.lease(), Logger: w.m.env.Logger})
		if err != nil && r.After.Happiness < w.params.Happy {
			return fmt.Errorf("restore %s, which the version needs: %w", index, err)
		}
	}
	return nil
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
