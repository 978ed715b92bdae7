package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"cairn/grid"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

func (a api) CheckTree(ctx context.Context, request control.TreeCheckRequest, progress func(control.Progress)) (control.TreeReport, error) {
	p, n, err := a.resolve(ctx, request.Target)
	if err != nil {
		return control.TreeReport{}, p.explain(a.n, err)
	}
	report := control.TreeReport{Path: p.path(n.Path), Unhealthy: []control.TreeItem{}}
	if p.target.Alias == control.HomeAlias && len(n.Path) == 0 && !a.n.home.exists(ctx) {
		return report, a.n.rootAway()
	}
	note := "checking"
	if request.Repair {
		note = "repairing"
	}
	done := int64(0)
	counts, problems, err := a.n.grid.CheckTree(ctx, p.root, p.target.Path, grid.TreeOptions{
		Verify: request.Verify, Repair: request.Repair, Each: func(r grid.TreeResult) {
			done++
			progress(control.Progress{Note: note, Done: done, Total: -1})
			count(&report, p, r)
		},
	})
	if err != nil {
		return report, p.explain(a.n, err)
	}
	report.Directories, report.Files, report.Bytes = counts.Directories, counts.Files, counts.Bytes
	report.Objects, report.Literals = counts.Objects+len(problems), counts.Literals
	for _, problem := range problems {
		if counts.Objects == 0 && errors.Is(problem.Err, capability.ErrAuthority) {
			return report, p.explain(a.n, problem.Err)
		}
		report.Unrecoverable++
		unhealthy(&report, control.TreeItem{Path: p.path(problem.Path), ID: problem.ID, Problem: problem.Err.Error()})
	}
	return report, nil
}

// count adds one object to a report.
func count(report *control.TreeReport, p place, r grid.TreeResult) {
	report.SharesMade += r.Made
	if r.Made > 0 {
		report.Repaired++
	}
	item := control.TreeItem{
		Path: p.path(r.Path), ID: r.Index.String(), Healthy: r.Report.Healthy, Recoverable: r.Report.Recoverable,
		SharesGood: r.Report.SharesGood, SharesTotal: r.Report.SharesTotal, Needed: r.Report.SharesNeeded, Made: r.Made,
	}
	if r.Err != nil {
		item.Problem = r.Err.Error()
	}
	switch {
	case item.Healthy && len(r.Report.Corrupt) == 0 && r.Err == nil:
		report.Healthy++
		return
	case item.Recoverable:
		report.Degraded++
	default:
		report.Unrecoverable++
	}
	unhealthy(report, item)
}

func unhealthy(report *control.TreeReport, item control.TreeItem) {
	if len(report.Unhealthy) < control.MaxUnhealthy {
		report.Unhealthy = append(report.Unhealthy, item)
	}
}

// When what is reachable from the root directory is gone through.
const (
	maintainAfter = time.Hour
	maintainEvery = 7 * 24 * time.Hour
	// maintainAgain is when it is done again after a directory could not be read.
	maintainAgain = 24 * time.Hour
	// maxProblems bounds how many directories that cannot be read are named.
	maxProblems = 20
)

// openMaintenance starts what keeps the leases of the person's files running.
func (n *Node) openMaintenance(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() { n.keepMaintained(ctx) })
	n.opened(closerFunc(func() error {
		cancel()
		task.Wait()
		return nil
	}))
	return nil
}

func (n *Node) keepMaintained(ctx context.Context) {
	for pause(ctx, maintainAfter) {
		if time.Since(n.state.LastRound()) < maintainEvery {
			continue
		}
		report, err := n.maintain(ctx, func(control.Progress) {})
		switch {
		case ctx.Err() != nil:
		case err != nil:
			n.log.Warn("the leases of your files could not be renewed; it is tried again in an hour", "error", err)
		default:
			n.log.Info("renewed leases", "directories", report.Directories, "files", report.Files, "renewed", report.Renewed, "missing", report.Missing, "versions", report.Versions)
		}
	}
}

func (a api) Maintain(ctx context.Context, progress func(control.Progress)) (control.MaintainReport, error) {
	return a.n.maintain(ctx, progress)
}

// maintain renews the leases of everything reachable from the root directory that are more than half over.
func (n *Node) maintain(ctx context.Context, progress func(control.Progress)) (control.MaintainReport, error) {
	n.maintaining.Lock()
	defer n.maintaining.Unlock()
	var report control.MaintainReport
	if !n.home.exists(ctx) {
		return report, nil
	}
	lease := n.terms().Lease
	if lease == 0 {
		lease = share.DefaultLease
	}
	start := time.Now()
	half := start.Add(-lease / 2)
	looked := int64(0)
	since := func(index share.StorageIndex) time.Time {
		looked++
		progress(control.Progress{Note: "renewing", Done: looked, Total: -1})
		return n.state.Renewed(index)
	}
	counts, done, problems, err := n.grid.RenewTree(ctx, n.home.capability(), "", grid.RenewOptions{
		Due:     func(index share.StorageIndex) bool { return since(index).Before(half) },
		DuePast: func(index share.StorageIndex) bool { return since(index).Before(half.Add(2 * maintainEvery)) },
		Renewed: func(indexes []share.StorageIndex) error { return n.state.SetRenewed(indexes, start) },
	})
	report = control.MaintainReport{
		Directories: counts.Directories, Files: counts.Files, Objects: counts.Objects, Renewed: done.Renewed, Missing: done.Missing,
		Versions: done.Versions, VersionsMissing: done.VersionsMissing,
	}
	for _, p := range problems[:min(len(problems), maxProblems)] {
		report.Problems = append(report.Problems, control.HomeAlias+":"+p.Err.Error())
	}
	if err == nil {
		round := start
		if len(problems) > 0 {
			round = start.Add(maintainAgain - maintainEvery)
		}
		err = errors.Join(n.state.SetRound(round), n.state.ForgetRenewed(start.Add(-2*lease)))
	}
	return report, err
}
