package grid

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"cairn/grid/dir"
	"cairn/grid/health"
	"cairn/grid/tree"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/head"
)

// An Object is one encoded file behind a tree: an immutable file, the newest version of a mutable one, or a page of a
// directory.
type Object struct {
	// Path is where it was met first, below the root.
	Path  []string
	Index share.StorageIndex
	// head leads to it where it is the newest version of something that changes.
	head head.Head
}

// TreeCounts say what a tree consists of. Each thing counts once, however often it is linked.
type TreeCounts struct {
	Directories int
	Files       int   // literals included
	Literals    int   // files that are in their capability
	Bytes       int64 // of the files, as far as their directories tell
	Objects     int
}

// A TreeProblem is a part of a tree that cannot be looked at.
type TreeProblem struct {
	Path []string
	ID   string
	Err  error
}

// objects goes through a tree and calls the function for every encoded file behind it, each once. What cannot be read goes to
// problem. An error of a function ends it.
func (g *Grid) objects(ctx context.Context, root capability.Capability, path string, each func(Object) error, problem func(TreeProblem) error) (TreeCounts, error) {
	o := &objects{g: g, ctx: ctx, each: each, problem: problem, seen: map[share.StorageIndex]bool{}, files: map[string]bool{}}
	err := g.tree.Walk(ctx, root, path, o.visit)
	return o.counts, err
}

type objects struct {
	g       *Grid
	ctx     context.Context
	each    func(Object) error
	problem func(TreeProblem) error
	seen    map[share.StorageIndex]bool
	files   map[string]bool
	counts  TreeCounts
}

func (o *objects) visit(v tree.Visit) error {
	c := v.Entry.Capability
	switch {
	case v.Err != nil:
		return o.problem(TreeProblem{Path: v.Path, ID: tree.ID(c), Err: v.Err})
	case v.Opened != nil:
		o.counts.Directories++
		pages, err := v.Opened.Files(o.ctx)
		if err != nil {
			return o.problem(TreeProblem{Path: v.Path, ID: tree.ID(c), Err: err})
		}
		for i, index := range pages {
			object := Object{Path: v.Path, Index: index}
			if i == 0 {
				object.head = headOf(c, v.Opened.Version())
			}
			if err := o.add(object); err != nil {
				return err
			}
		}
		return nil
	case v.Directory(): // for the second time
		return nil
	}
	return o.file(v, c)
}

func (o *objects) file(v tree.Visit, c capability.Capability) error {
	id := tree.ID(c)
	if o.files[id] {
		return nil
	}
	if id != "" {
		o.files[id] = true
	}
	switch c.Kind() {
	case capability.KindUnknown:
		return nil
	case capability.KindLiteral:
		o.counts.Literals++
		o.counts.Files++
		return nil
	default:
	}
	o.counts.Files++
	o.counts.Bytes += v.Entry.Size
	if index, ok := c.StorageIndex(); ok {
		return o.add(Object{Path: v.Path, Index: index})
	}
	version, err := o.g.files.Read(o.ctx, c)
	if err != nil {
		if o.ctx.Err() != nil {
			return o.ctx.Err()
		}
		return o.problem(TreeProblem{Path: v.Path, ID: id, Err: err})
	}
	return o.add(Object{Path: v.Path, Index: version.Head.Root, head: version.Head})
}

// headOf returns the head of a version of a directory, the zero Head for one that does not change.
func headOf(c capability.Capability, v dir.Version) head.Head {
	name, changes := c.Name()
	if !changes {
		return head.Head{}
	}
	return dir.HeadOf(name, v)
}

func (o *objects) add(object Object) error {
	if o.seen[object.Index] {
		return nil
	}
	o.seen[object.Index] = true
	o.counts.Objects++
	return o.each(object)
}

// TreeOptions say what CheckTree does.
type TreeOptions struct {
	// Verify downloads every share and checks every byte.
	Verify bool
	// Repair makes missing and bad shares anew.
	Repair bool
	// Each, if set, is called for every object that was looked at, from one goroutine at a time.
	Each func(TreeResult)
}

// A TreeResult says how one object of a tree is.
type TreeResult struct {
	Object
	Report health.Report // after the repair, where one was made
	Made   int           // shares made
	Err    error
}

// checkAtOnce is how many objects of a tree are checked at a time, of each of so many groups that are asked about at a time.
const (
	checkAtOnce  = 8
	groupsAtOnce = 2
)

// CheckTree checks, and repairs if that is asked for, every object behind a tree once. That an object is not healthy, or a
// directory cannot be read, is no error: it is told to Each or in the problems.
func (g *Grid) CheckTree(ctx context.Context, root capability.Capability, path string, o TreeOptions) (TreeCounts, []TreeProblem, error) {
	var problems []TreeProblem
	results := make(chan TreeResult)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for result := range results {
			if o.Each != nil {
				o.Each(result)
			}
		}
	}()
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(groupsAtOnce)
	var group []Object
	flush := func() {
		objects := group
		work.Go(func() error {
			g.checkGroup(working, objects, o, results)
			return nil
		})
		group = nil
	}
	counts, err := g.objects(working, root, path, func(object Object) error {
		if group = append(group, object); len(group) == aheadObjects {
			flush()
		}
		return working.Err()
	}, func(p TreeProblem) error {
		problems = append(problems, p)
		return nil
	})
	flush()
	err = errors.Join(err, work.Wait())
	close(results)
	<-told
	return counts, problems, err
}

// checkGroup checks objects about which the servers are asked together.
func (g *Grid) checkGroup(ctx context.Context, objects []Object, o TreeOptions, results chan<- TreeResult) {
	if len(objects) == 0 || ctx.Err() != nil {
		return
	}
	indexes := make([]share.StorageIndex, len(objects))
	for i, object := range objects {
		indexes[i] = object.Index
	}
	asked := g.askAhead(ctx, indexes, o.Verify)
	var work errgroup.Group
	work.SetLimit(checkAtOnce)
	for _, object := range objects {
		work.Go(func() error {
			if result := g.checkObject(ctx, object, asked, o); ctx.Err() == nil {
				results <- result
			}
			return nil
		})
	}
	_ = work.Wait() // it has no errors
}

// look checks or verifies an object on servers that were asked ahead, and on others that may have it.
func (g *Grid) look(ctx context.Context, index share.StorageIndex, asked map[share.ServerID]share.Server, verify bool) (health.Report, error) {
	servers := slices.Clone(g.serversFor(ctx, index))
	for i, server := range servers {
		if ahead, ok := asked[server.ID]; ok {
			servers[i].Store = ahead.Store
		}
	}
	if verify {
		return health.Verify(ctx, servers, index, nil)
	}
	return health.Check(ctx, servers, index)
}

func (g *Grid) checkObject(ctx context.Context, object Object, asked map[share.ServerID]share.Server, o TreeOptions) TreeResult {
	result := TreeResult{Object: object}
	c := capability.FileVerify(object.Index)
	if result.Report, result.Err = g.look(ctx, object.Index, asked, o.Verify); result.Err != nil || result.Report.Healthy && len(result.Report.Corrupt) == 0 || !o.Repair {
		return result
	}
	var repaired health.Result
	if repaired, result.Err = g.Repair(ctx, c, o.Verify, nil); result.Err == nil {
		result.Report, result.Made = repaired.After, len(repaired.Made)
	}
	return result
}

// RenewTree extends the leases on everything behind a tree that due selects, at most a few hundred objects at a time: on the shares,
// and on the heads of what changes. It returns how many were renewed on at least one server, and how many no server has that answered.
func (g *Grid) RenewTree(ctx context.Context, root capability.Capability, path string, due func(share.StorageIndex) bool, renewed func([]share.StorageIndex) error) (TreeCounts, Renewal, []TreeProblem, error) {
	var problems []TreeProblem
	var done Renewal
	var batch []share.StorageIndex
	var heads []head.Head
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		held, err := g.renew(ctx, batch)
		if err == nil {
			held, err = g.renewHeads(ctx, heads, held)
			heads = heads[:0]
		}
		if err == nil {
			done.Renewed += len(held)
			done.Missing += len(batch) - len(held)
			err = renewed(held)
		}
		batch = batch[:0]
		return err
	}
	counts, err := g.objects(ctx, root, path, func(o Object) error {
		if !due(o.Index) {
			return nil
		}
		if o.head.Sequence > 0 {
			heads = append(heads, o.head)
		}
		if batch = append(batch, o.Index); len(batch) < renewBatch {
			return nil
		}
		return flush()
	}, func(p TreeProblem) error {
		problems = append(problems, p)
		return nil
	})
	if err == nil {
		err = flush()
	}
	return counts, done, problems, err
}

// A Renewal says how many objects got new leases.
type Renewal struct {
	Renewed int // on at least one server
	Missing int // no server that answered has any share
}

// renewBatch is how many objects are renewed in one exchange with each server.
const renewBatch = 200

// renewHeads extends the leases on heads, and returns the objects that were renewed without those whose head nobody renewed.
func (g *Grid) renewHeads(ctx context.Context, heads []head.Head, held []share.StorageIndex) ([]share.StorageIndex, error) {
	if len(heads) == 0 {
		return held, nil
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
