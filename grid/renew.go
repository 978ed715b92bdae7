package grid

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"cairn/grid/dir"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
)

// A Renewal says how many objects got new leases.
type Renewal struct {
	Renewed int // on at least one server
	Missing int // no server that answered has any share
	// Versions are past versions that got new leases with all that they consist of, VersionsMissing those of which something is not
	// there any more although they are to be kept.
	Versions        int
	VersionsMissing int
}

// renewBatch is how many objects are renewed in one exchange with each server.
const renewBatch = 200

// RenewOptions say what RenewTree renews.
type RenewOptions struct {
	// Due selects what is renewed.
	Due func(share.StorageIndex) bool
	// DuePast selects among what only past versions have. These are looked at when the newest version is due, so whatever is not
	// selected has to last until it is due the next time.
	DuePast func(share.StorageIndex) bool
	// Renewed is told what got new leases.
	Renewed func([]share.StorageIndex) error
}

// RenewTree extends the leases on everything behind a tree that is due, at most a few hundred objects at a time: on the shares,
// and on the heads of what changes; with the newest version of something on those past ones that its retention keeps. It returns how many were
// renewed on at least one server, and how many no server has that answered.
//
// A thing that is due and has past versions costs one question to each of its head servers more; a past version of a directory that is due costs
// reading its pages above the leaves.
func (g *Grid) RenewTree(ctx context.Context, root capability.Capability, path string, o RenewOptions) (TreeCounts, Renewal, []TreeProblem, error) {
	var problems []TreeProblem
	r := &treeRenewal{RenewOptions: o, g: g, ctx: ctx, past: map[share.StorageIndex]bool{}}
	counts, err := g.objects(ctx, root, path, func(o Object) error {
		if !r.Due(o.Index) {
			return nil
		}
		if r.batch = append(r.batch, o); len(r.batch) < renewBatch {
			return nil
		}
		return r.flush()
	}, func(p TreeProblem) error {
		problems = append(problems, p)
		return nil
	})
	if err == nil {
		err = r.flush()
	}
	return counts, r.done, problems, err
}

// A treeRenewal is one RenewTree.
type treeRenewal struct {
	RenewOptions
	g     *Grid
	ctx   context.Context
	batch []Object
	past  map[share.StorageIndex]bool // of past versions, whether it is held, once it is known
	done  Renewal
}

// flush renews what has come together.
func (r *treeRenewal) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	var indexes []share.StorageIndex
	var changing []Object
	for _, o := range r.batch {
		indexes = append(indexes, o.Index)
		if o.head.Sequence > 0 {
			changing = append(changing, o)
		}
	}
	r.batch = r.batch[:0]
	held, err := r.g.renew(r.ctx, indexes)
	if err == nil {
		held, err = r.g.renewHeads(r.ctx, changing, held)
	}
	if err != nil {
		return err
	}
	r.done.Renewed += len(held)
	r.done.Missing += len(indexes) - len(held)
	if err := r.Renewed(held); err != nil {
		return err
	}
	return r.versions(changing)
}

// renewHeads extends the leases on heads, and returns the objects that were renewed without those whose head nobody renewed.
func (g *Grid) renewHeads(ctx context.Context, changing []Object, held []share.StorageIndex) ([]share.StorageIndex, error) {
	if len(changing) == 0 {
		return held, nil
	}
	heads := make([]head.Head, len(changing))
	for i, o := range changing {
		heads[i] = o.head
	}
	renewed, err := g.files.Renew(ctx, heads)
	if err != nil {
		return nil, err
	}
	failed := map[share.StorageIndex]bool{}
	for i, h := range heads {
		failed[h.Root] = !renewed[i]
	}
	return slices.DeleteFunc(held, func(index share.StorageIndex) bool { return failed[index] }), nil
}

// A pastVersion is one that is to be kept.
type pastVersion struct {
	of    Object
	head  head.Head
	pages []share.StorageIndex // behind its root; of a directory
	err   error
}

// versions renews the past versions of things that changed, as far as they are due and to be kept.
func (r *treeRenewal) versions(changing []Object) error {
	kept, err := r.kept(changing)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(kept, renewBatch) {
		if err := r.look(part); err != nil {
			return err
		}
		if err := r.renewVersions(part); err != nil {
			return err
		}
	}
	return nil
}

// kept returns the past versions that are to be kept and are due.
func (r *treeRenewal) kept(changing []Object) ([]*pastVersion, error) {
	found := make([][]head.Head, len(changing))
	work, working := errgroup.WithContext(r.ctx)
	work.SetLimit(checkAtOnce)
	for i, o := range changing {
		if len(o.head.Parents) == 0 {
			continue
		}
		work.Go(func() error {
			found[i] = r.g.files.Past(working, o.head)
			return working.Err()
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	var kept []*pastVersion
	for i, o := range changing {
		for _, h := range found[i] {
			if _, known := r.past[h.Root]; !known && h.Root != o.Index && r.DuePast(h.Root) {
				r.past[h.Root] = false
				kept = append(kept, &pastVersion{of: o, head: h})
			}
		}
	}
	return kept, nil
}

// look finds out which pages past versions of directories have.
func (r *treeRenewal) look(versions []*pastVersion) error {
	work, working := errgroup.WithContext(r.ctx)
	work.SetLimit(checkAtOnce)
	for _, v := range versions {
		if c := v.of.capability; c.Kind() != capability.KindDir && c.Kind() != capability.KindDirRead {
			continue
		}
		work.Go(func() error {
			x, err := r.g.dirs.OpenVersion(working, v.of.capability, dir.VersionOf(v.head))
			if err == nil {
				v.pages, err = x.Files(working)
			}
			v.err = err
			return working.Err()
		})
	}
	return work.Wait()
}

// renewVersions extends the leases on past versions.
func (r *treeRenewal) renewVersions(versions []*pastVersion) error {
	var indexes []share.StorageIndex
	for _, v := range versions {
		indexes = append(indexes, v.head.Root)
		for _, page := range v.pages {
			if _, known := r.past[page]; !known && r.DuePast(page) {
				r.past[page] = false
				indexes = append(indexes, page)
			} else if !known {
				r.past[page] = true // it was renewed not long ago, so it was there
			}
		}
	}
	for part := range slices.Chunk(indexes, renewBatch) {
		held, err := r.g.renew(r.ctx, part)
		if err != nil {
			return err
		}
		for _, index := range held {
			r.past[index] = true
		}
		if err := r.Renewed(held); err != nil {
			return err
		}
	}
	for _, v := range versions {
		whole := v.err == nil && r.past[v.head.Root] && !slices.ContainsFunc(v.pages, func(page share.StorageIndex) bool { return !r.past[page] })
		if whole {
			r.done.Versions++
			continue
		}
		r.done.VersionsMissing++
		r.g.Logger.Debug("a past version is not there any more", "name", v.head.Name.String(), "version", v.head.Sequence, "error", v.err)
	}
	return nil
}

// renew extends the leases on objects on all servers that answer, and returns those of which anybody holds a share.
func (g *Grid) renew(ctx context.Context, indexes []share.StorageIndex) ([]share.StorageIndex, error) {
	servers := g.Servers(ctx)
	held := make([]map[share.StorageIndex]bool, len(servers))
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(checkAtOnce)
	for i, server := range servers {
		if server.Down {
			continue
		}
		work.Go(func() error {
			held[i] = g.renewOn(working, server, indexes)
			return working.Err()
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	var out []share.StorageIndex
	for _, index := range indexes {
		for i := range held {
			if held[i][index] {
				out = append(out, index)
				break
			}
		}
	}
	return out, nil
}

// renewOn extends the leases that one server has, and returns on what. A server that does not answer has none.
func (g *Grid) renewOn(ctx context.Context, server share.Server, indexes []share.StorageIndex) map[share.StorageIndex]bool {
	answers, err := server.Store.Numbers(ctx, indexes)
	if err != nil {
		g.Logger.Debug("a server did not say what it holds", "server", server.String(), "error", err)
		return nil
	}
	held := map[share.StorageIndex]bool{}
	var there []share.StorageIndex
	for _, answer := range answers {
		if len(answer.Numbers) > 0 {
			held[answer.Index] = true
			there = append(there, answer.Index)
		}
	}
	if len(there) == 0 {
		return nil
	}
	if err := server.Store.Renew(ctx, there, g.lease()); err != nil {
		g.Logger.Warn("a server did not renew leases", "server", server.String(), "error", err)
		return nil
	}
	return held
}
