package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"cairn/grid"
	"cairn/node/control"
	"cairn/share"
)

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
			if n.grown(ctx) && n.home.exists(ctx) {
				if err := n.look(ctx); err != nil && ctx.Err() == nil {
					n.log.Info("could not find out how healthy your files are; it is tried again in an hour", "error", err)
				}
			}
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
		if failed := n.look(ctx); failed != nil {
			n.log.Info("leases were renewed; how healthy your files are could not be found out", "error", failed)
		} else if h := n.health.Load(); h != nil {
			report.Thin, report.Degraded = h.Thin, h.Degraded
		}
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
