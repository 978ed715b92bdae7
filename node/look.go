package node

import (
	"context"
	"time"

	"cairn/grid"
	"cairn/node/control"
)

// look finds out how healthy everything in the root directory is.
func (n *Node) look(ctx context.Context) error {
	p, err := n.place(ctx, control.HomeAlias+":")
	if err != nil {
		return err
	}
	c := &treeCheck{api: api{n}, place: p, path: p.path(nil), progress: func(control.Progress) {}}
	if err := c.run(ctx, "", grid.TreeOptions{}); err != nil {
		return err
	}
	n.looked(c.report, n.grid.ParamsFor(ctx).Happy)
	return nil
}

// looked remembers how healthy the root directory was found.
func (n *Node) looked(r control.TreeReport, wanted int) {
	h := &control.Health{
		Checked: time.Now(), Objects: r.Objects, Thin: r.Thin, Degraded: r.Degraded, Unrecoverable: r.Unrecoverable, Wanted: wanted,
	}
	n.health.Store(h)
	if r.Thin+r.Degraded+r.Unrecoverable > 0 {
		n.log.Warn("not all that is in home: is healthy; \"cairn check -r home:\" names it, \"cairn repair -r home:\" mends what can be mended",
			"objects", r.Objects, "too_few_servers", r.Thin, "degraded", r.Degraded, "not_recoverable", r.Unrecoverable)
	}
}

// grown reports whether more servers are wanted for what is stored now than when the root directory was looked at, and as many answer.
func (n *Node) grown(ctx context.Context) bool {
	answer := 0
	for _, s := range n.servers.all(ctx) {
		if !s.Down && !s.Last {
			answer++
		}
	}
	return outgrew(n.health.Load(), n.grid.ParamsFor(ctx).Happy, answer)
}

// outgrew is grown, given what was found the last time, nil where nobody has looked.
func outgrew(last *control.Health, wanted, answer int) bool {
	before := 1 // what is stored on one server at least is not worth a look
	if last != nil {
		before = last.Wanted
	}
	return wanted > before && answer >= wanted
}
