package spill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/share"
)

// eachName calls fn with every name that the far store can give back.
func (s *Store) eachName(ctx context.Context, fn func(share.NameMover, share.Name) error) error {
	from, ok := s.far.(share.NameMover)
	if !ok {
		return nil
	}
	const page = 256
	for after := (share.Name{}); ; {
		names, err := from.Names(ctx, after, page)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := fn(from, name); err != nil {
				return err
			}
			after = name
		}
	}
}

// heads brings back the names of which the far store has heads.
func (d *drain) heads(ctx context.Context) error {
	var errs []error
	err := d.eachName(ctx, func(from share.NameMover, name share.Name) error {
		err := d.name(ctx, from, name)
		switch {
		case err == nil:
			d.report.Names++
		case ctx.Err() != nil:
			return ctx.Err()
		case full(err):
			d.report.Full = true
			d.report.NamesLeft++
		case errors.Is(err, errPassed):
			d.report.NamesLeft++
		default:
			d.report.NamesLeft++
			if len(errs) < maxDamaged {
				errs = append(errs, fmt.Errorf("name %s: %w", name, err))
			}
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

// name brings back one name with its history: it is dropped in the far store when the near one holds the same.
func (d *drain) name(ctx context.Context, from share.NameMover, name share.Name) error {
	lock := d.naming(name)
	lock.Lock()
	defer lock.Unlock()
	updates, err := from.Updates(ctx, name)
	if err != nil {
		return notMissing(err)
	}
	newest := updates[len(updates)-1]
	if !newest.Lease.Expires.After(time.Now()) {
		return errPassed // nobody wants it, and the far store forgets it by itself
	}
	near, err := d.near.History(ctx, name, 0)
	if err != nil {
		return err
	}
	if len(near) > 0 && newer(name, near[0], newest.Record) {
		return from.DropName(ctx, name, sha256.Sum256(newest.Record)) // what is far is history
	}
	var size int64
	for _, u := range updates {
		if !contains(near, u.Record) {
			size += int64(len(u.Record))
		}
	}
	if size > 0 && !d.fits(ctx, size) {
		return share.ErrNoSpace
	}
	if err := d.takeName(ctx, updates, near); err != nil {
		return err
	}
	held, err := d.near.History(ctx, name, 0)
	if err != nil {
		return err
	}
	if len(held) == 0 || !bytes.Equal(held[0], newest.Record) {
		return fmt.Errorf("%w: the near store does not show the head that it took", share.ErrCorrupt)
	}
	return from.DropName(ctx, name, sha256.Sum256(newest.Record))
}

// takeName stores in the near store what it lacks of a name's history. Versions that are older than its newest one stay behind.
func (d *drain) takeName(ctx context.Context, updates []share.HeadUpdate, near [][]byte) error {
	before := share.Digest{}
	if len(near) > 0 {
		before = sha256.Sum256(near[0])
	}
	for _, u := range updates {
		if contains(near, u.Record) || len(near) > 0 && !newer(u.Name, u.Record, near[0]) {
			continue
		}
		u.Replaces = before
		u.Adds, u.Drops = within(u.Adds), within(u.Drops)
		u.Drops = slices.DeleteFunc(slices.Clone(u.Drops), func(index share.StorageIndex) bool { return slices.Contains(u.Adds, index) })
		if err := d.near.SetHead(ctx, u); err != nil {
			return err
		}
		before = sha256.Sum256(u.Record)
	}
	return nil
}

func within(indexes []share.StorageIndex) []share.StorageIndex {
	return indexes[:min(len(indexes), share.MaxHeadIndexes)]
}
