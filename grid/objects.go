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
	// Thing is the tree.ID of what it belongs to.
	Thing string
	// head leads to it where it is the newest version of something that changes, which capability reads.
	head       head.Head
	capability capability.Capability
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
	return g.objectsBut(ctx, root, path, nil, each, problem)
}

// objectsBut is objects without what is in those directories of which skip, if set, says so.
func (g *Grid) objectsBut(
	ctx context.Context, root capability.Capability, path string, skip func(path []string, in *dir.Directory) bool, each func(Object) error, problem func(TreeProblem) error,
) (TreeCounts, error) {
	o := &objects{g: g, ctx: ctx, each: each, problem: problem, skip: skip, seen: map[share.StorageIndex]bool{}, files: map[string]bool{}}
	err := g.tree.Walk(ctx, root, path, o.visit)
	return o.counts, err
}

type objects struct {
	g       *Grid
	ctx     context.Context
	each    func(Object) error
	problem func(TreeProblem) error
	skip    func(path []string, in *dir.Directory) bool // nil skips nothing
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
			object := Object{Path: v.Path, Index: index, Thing: tree.ID(c)}
			if i == 0 {
				object.head, object.capability = headOf(c, v.Opened.Version()), c
			}
			if err := o.add(object); err != nil {
				return err
			}
		}
		if o.skip != nil && o.skip(v.Path, v.Opened) {
			return tree.ErrSkip
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
		return o.add(Object{Path: v.Path, Index: index, Thing: id})
	}
	version, err := o.g.files.Read(o.ctx, c)
	if err != nil {
		if o.ctx.Err() != nil {
			return o.ctx.Err()
		}
		return o.problem(TreeProblem{Path: v.Path, ID: id, Err: err})
	}
	return o.add(Object{Path: v.Path, Index: version.Head.Root, Thing: id, head: version.Head, capability: c})
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
	// Repair makes missing and bad shares anew, and copies those that crowd on too few servers to others.
	Repair bool
	// Skip, if set, reports whether what is in a directory is left out.
	Skip func(path []string, in *dir.Directory) bool
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
	counts, err := g.objectsBut(working, root, path, o.Skip, func(object Object) error {
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
	return g.checkOn(ctx, servers, index, verify, nil)
}

func (g *Grid) checkObject(ctx context.Context, object Object, asked map[share.ServerID]share.Server, o TreeOptions) TreeResult {
	result := TreeResult{Object: object}
	c := capability.FileVerify(object.Index)
	if result.Report, result.Err = g.look(ctx, object.Index, asked, o.Verify); result.Err != nil || !o.Repair || !mendable(result.Report) {
		return result
	}
	var repaired health.Result
	repaired, result.Err = g.Repair(ctx, c, o.Verify, nil)
	if repaired.After.Asked > 0 {
		result.Report, result.Made = repaired.After, len(repaired.Made)
	}
	return result
}

// mendable reports whether a file has shares that could be made, or be somewhere else too.
func mendable(r health.Report) bool {
	return !r.Healthy || len(r.Corrupt) > 0 || r.Thin && r.Spreadable()
}

// Outgrown returns the positions of those immutable things that would be better off if they were stored now: they are on fewer servers than that
// gives, which is wanted, or not enough of them was found to read them. Of a directory only the first page is looked at, since all have
// the same parameters. While too few servers answer to store anything, none is better off, and nothing is wanted.
func (g *Grid) Outgrown(ctx context.Context, caps []capability.Capability) (which []int, wanted int, err error) {
	servers := g.Servers(ctx)
	wanted = g.params(share.Params{}, servers).Happy
	servers = slices.DeleteFunc(slices.Clone(servers), func(s share.Server) bool { return s.Down })
	if len(servers) < wanted {
		return nil, 0, nil
	}
	var indexes []share.StorageIndex
	var at []int
	for i, c := range caps {
		if index, ok := c.StorageIndex(); ok {
			indexes, at = append(indexes, index), append(at, i)
		}
	}
	for len(indexes) > 0 {
		n := min(len(indexes), aheadObjects)
		asked := g.askAhead(ctx, indexes[:n], false)
		small := make([]bool, n)
		var work errgroup.Group
		work.SetLimit(checkAtOnce)
		for i, index := range indexes[:n] {
			work.Go(func() error {
				report, err := g.look(ctx, index, asked, false)
				small[i] = err == nil && (!report.Recoverable || report.Thin || !report.Spreadable())
				return err
			})
		}
		if err := work.Wait(); err != nil {
			return nil, wanted, err
		}
		for i := range small {
			if small[i] {
				which = append(which, at[i])
			}
		}
		indexes, at = indexes[n:], at[n:]
	}
	return which, wanted, nil
}
