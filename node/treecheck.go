package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"cairn/grid"
	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

func (a api) CheckTree(ctx context.Context, request control.TreeCheckRequest, progress func(control.Progress)) (control.TreeReport, error) {
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return control.TreeReport{}, p.explain(a.n, err)
	}
	c := &treeCheck{api: a, place: p, path: p.path(n.Path), progress: progress}
	if p.target.Alias == control.HomeAlias && len(n.Path) == 0 && !a.n.home.exists(ctx) {
		c.begin()
		return c.report, a.n.rootAway()
	}
	o := grid.TreeOptions{Verify: request.Verify, Repair: request.Repair}
	note := "checking"
	if request.Repair {
		note = "repairing"
	}
	if err := c.run(ctx, note, o); err != nil {
		return c.report, err
	}
	if request.Repair && len(c.thin) > 0 {
		err = c.storeAnew(ctx)
	}
	if err == nil && len(n.Path) == 0 && a.n.home.is(n.Entry.Capability) {
		a.n.looked(c.report, a.n.grid.ParamsFor(ctx).Happy)
	}
	return c.report, err
}

// A treeCheck is one CheckTree.
type treeCheck struct {
	api
	place    place
	path     string
	progress func(control.Progress)

	report control.TreeReport
	thin   map[share.StorageIndex]share.Params
	things map[string]string // of thin items, by their ID: the tree.ID of what each belongs to
	silent map[share.ServerID]string
}

func (c *treeCheck) begin() {
	c.report = control.TreeReport{Path: c.path, Unhealthy: []control.TreeItem{}, Unanswered: []control.Silent{}}
	c.thin, c.things, c.silent = map[share.StorageIndex]share.Params{}, map[string]string{}, map[share.ServerID]string{}
}

// run looks at everything once.
func (c *treeCheck) run(ctx context.Context, note string, o grid.TreeOptions) error {
	c.begin()
	done := int64(0)
	o.Skip = c.former
	o.Each = func(r grid.TreeResult) {
		done++
		c.progress(control.Progress{Note: note, Done: done, Total: -1})
		c.count(r)
	}
	counts, problems, err := c.n.grid.CheckTree(ctx, c.place.root, c.place.target.Path, o)
	if err != nil {
		return c.place.explain(c.n, err)
	}
	c.report.Directories, c.report.Files, c.report.Bytes = counts.Directories, counts.Files, counts.Bytes
	c.report.Objects, c.report.Literals = counts.Objects+len(problems), counts.Literals
	for _, problem := range problems {
		if counts.Objects == 0 && errors.Is(problem.Err, capability.ErrAuthority) {
			return c.place.explain(c.n, problem.Err)
		}
		item := control.TreeItem{Path: c.place.path(problem.Path), ID: problem.ID}
		c.unreadable(&item, problem.Err)
		c.report.Unrecoverable++
		c.list(item)
	}
	for id, reason := range c.silent {
		c.report.Unanswered = append(c.report.Unanswered, control.Silent{Peer: id, Reason: reason})
	}
	slices.SortFunc(c.report.Unanswered, func(a, b control.Silent) int { return cmp.Compare(a.Peer, b.Peer) })
	slices.SortFunc(c.report.Unhealthy, func(a, b control.TreeItem) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.ID, b.ID)) })
	return nil
}

// former leaves former copies out that are to be ended: their shares need not last, and what goes on is elsewhere in the tree.
func (c *treeCheck) former(path []string, in *dir.Directory) bool {
	if !c.n.home.is(c.place.root) || tree.Join(path) != endingDirectory {
		return false
	}
	if names, _, err := tree.Split(c.place.target.Path); err != nil || tree.Join(names) == endingDirectory {
		return false // they are asked about
	}
	c.report.Former = in.Len()
	return true
}

// count adds one object to the report.
func (c *treeCheck) count(r grid.TreeResult) {
	c.report.SharesMade += r.Made
	if r.Made > 0 {
		c.report.Repaired++
	}
	c.report.Away = max(c.report.Away, len(r.Report.Unanswered))
	for _, u := range r.Report.Unanswered {
		c.silent[u.Peer] = u.Reason
	}
	item := control.TreeItem{
		Path: c.place.path(r.Path), ID: r.Index.String(), Healthy: r.Report.Healthy, Recoverable: r.Report.Recoverable,
		SharesGood: r.Report.SharesGood, SharesTotal: r.Report.SharesTotal, Needed: r.Report.SharesNeeded, Made: r.Made,
		Thin: r.Report.Thin, Servers: r.Report.Happiness, Wanted: r.Report.Wanted, Corrupt: r.Report.Corrupt,
	}
	if r.Report.SharesTotal == 0 && r.Report.Asked > 0 || r.Report.SharesTotal > 0 && !r.Report.Recoverable {
		item.Code = control.CodeNotEnough // the numbers say all that the error does
	} else {
		fail(&item, r.Err)
	}
	switch {
	case item.Thin && len(r.Report.Corrupt) == 0:
		c.report.Thin++
		if !r.Report.Spreadable() {
			c.thin[r.Index] = share.Params{Needed: item.Needed, Total: item.SharesTotal}
			c.things[item.ID] = r.Thing
		}
	case item.Healthy && len(r.Report.Corrupt) == 0 && r.Err == nil:
		c.report.Healthy++
		return
	case item.Recoverable:
		c.report.Degraded++
	default:
		c.report.Unrecoverable++
	}
	c.list(item)
}

// unreadable says in an item why a directory, or a file that changes, cannot be looked into.
func (c *treeCheck) unreadable(item *control.TreeItem, err error) {
	few, isFew := errors.AsType[*share.NotEnoughSharesError](err)
	switch {
	case isFew:
		c.report.Away = max(c.report.Away, few.Asked-few.Answered)
		short := *few
		short.Causes = nil
		item.Problem, item.Code = "it cannot be read: "+short.Error(), control.CodeNotEnough
	case errors.Is(err, share.ErrNotFound):
		item.Problem, item.Code = "it cannot be read: no server that answers has it", control.CodeNotFound
	default:
		fail(item, err)
	}
}

// fail says in an item what went wrong. The path is said already.
func fail(item *control.TreeItem, err error) {
	if err == nil {
		return
	}
	if at, ok := errors.AsType[*tree.PathError](err); ok {
		err = at.Err
	}
	e := control.ErrorOf(err)
	item.Problem, item.Code = strings.Join(append([]string{e.Message}, e.Causes...), "; "), e.Code
}

func (c *treeCheck) list(item control.TreeItem) {
	if len(c.report.Unhealthy) < control.MaxUnhealthy {
		c.report.Unhealthy = append(c.report.Unhealthy, item)
	}
}

// storeAnew stores what is thin anew, and looks at everything once more.
func (c *treeCheck) storeAnew(ctx context.Context) error {
	storing, err := c.n.copies(ctx)
	if err != nil {
		return err
	}
	kept, err := c.kept(ctx)
	if err != nil {
		return err
	}
	done, err := c.n.grid.StoreAnew(storing, c.place.root, c.place.target.Path, grid.AnewOptions{
		Thin: c.thin, Keep: func(id string) bool { return kept[id] },
		Progress: func(done grid.Anew) {
			c.progress(control.Progress{Note: "storing anew", Done: int64(done.Files + done.Directories), Total: -1})
		},
	})
	if len(done.Replaced) > 0 {
		c.n.aliases.replace(done.Replaces)
		if c.n.sharing != nil {
			if err := c.n.sharing.replaced(ctx, done.Replaced); err != nil {
				c.n.log.Info("what you share was stored anew, and could not be handed over yet; it is tried again", "error", err)
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	first := c.report
	if failed := c.run(ctx, "checking again", grid.TreeOptions{}); failed != nil {
		return errors.Join(err, failed)
	}
	c.report.Repaired, c.report.SharesMade = first.Repaired, first.SharesMade
	c.report.StoredFiles, c.report.StoredDirectories, c.report.StoredBytes = done.Files, done.Directories, done.Bytes
	if err != nil {
		c.report.Stopped = control.ErrorOf(c.n.explainBucket(c.n.explainQuota(ctx, err)))
	}
	c.left(done, first.Unhealthy)
	return nil
}

// kept returns by their tree.IDs what stays as it is: what others shared with the person, which follows when they store it anew, and what
// says so; and what an unsharing has begun.
func (c *treeCheck) kept(ctx context.Context) (map[string]bool, error) {
	kept := map[string]bool{}
	for _, path := range []string{receivedDirectory, movingDirectory, endingDirectory} {
		in, err := c.n.names().Resolve(ctx, c.n.home.capability(), path)
		if errors.Is(err, share.ErrNotFound) {
			continue
		}
		if err == nil {
			kept[tree.ID(in.Entry.Capability)] = true
			err = c.n.names().List(ctx, in, "", 0, func(n tree.Node) error {
				kept[tree.ID(n.Entry.Capability)] = true
				return nil
			})
		}
		if err != nil {
			return nil, c.place.explain(c.n, err)
		}
	}
	return kept, nil
}

// left says of what is not as it should be after all why that is so.
func (c *treeCheck) left(done grid.Anew, before []control.TreeItem) {
	failed := map[string]control.TreeItem{}
	for _, item := range before {
		failed[item.ID] = item
	}
	for i := range c.report.Unhealthy {
		item := &c.report.Unhealthy[i]
		switch was := failed[item.ID]; {
		case item.Problem != "":
		case c.things[item.ID] == "": // storing it anew would not help
			item.Problem, item.Code = was.Problem, was.Code
		case errors.Is(done.Left[c.things[item.ID]], grid.ErrKept):
			item.Problem, item.Code = "another member shared it with you, and stores it anew; it then follows here", control.CodeRefused
		case done.Left[c.things[item.ID]] != nil:
			fail(item, done.Left[c.things[item.ID]])
		case c.report.Stopped != nil:
		default:
			item.Problem, item.Code = "it can only be read here: who can write it stores it anew", control.CodeRefused
		}
	}
}
