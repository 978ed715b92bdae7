package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"cairn/node/control"
)

// runCheckTree checks or repairs everything below a directory, and prints a summary and what is not healthy.
func runCheckTree(ctx context.Context, a *app, o *checkOptions, verb, target string) error {
	return a.running(verb, func(client *control.Client) error {
		bar := a.progress()
		defer bar.done()
		report, err := client.CheckTree(ctx, control.TreeCheckRequest{Target: target, Verify: o.verify, Repair: o.repair}, bar.count)
		bar.done()
		if err != nil {
			return err
		}
		if err := a.result(report, func(w io.Writer) { printTreeReport(w, o, report) }); err != nil {
			return err
		}
		if report.Unrecoverable > 0 {
			return &control.Error{
				Code: control.CodeNotEnough, Message: fmt.Sprintf("%s  %d of %d objects cannot be recovered now", report.Path, report.Unrecoverable, report.Objects),
				Hint: "\"cairn peers\" shows who answers; try again when more members are up",
			}
		}
		if report.Degraded > 0 && !o.repair {
			again := fmt.Sprintf("%q", a.command(typed("repair", "-r", target)))
			if strings.HasPrefix(target, "cairn:") { // a secret
				again = fmt.Sprintf("%q with the same capability", a.command("repair -r"))
			}
			a.note("next: %s makes the missing shares anew", again)
		}
		return nil
	})
}

func printTreeReport(w io.Writer, o *checkOptions, r control.TreeReport) {
	fmt.Fprintf(w, "%s  %d directories, %d files (%s)\n", r.Path, r.Directories, r.Files, sizeText(r.Bytes))
	fmt.Fprintf(w, "%d objects: %d healthy, %d degraded, %d not recoverable", r.Objects, r.Healthy, r.Degraded, r.Unrecoverable)
	if r.Literals > 0 {
		fmt.Fprintf(w, "; %d files are in their capability, stored nowhere", r.Literals)
	}
	fmt.Fprintln(w)
	if o.repair {
		fmt.Fprintf(w, "%d objects repaired, %d shares made\n", r.Repaired, r.SharesMade)
	}
	for _, item := range r.Unhealthy {
		switch {
		case item.Problem != "":
			fmt.Fprintf(w, "  %s: %s\n", item.Path, item.Problem)
		case item.SharesTotal == 0:
			fmt.Fprintf(w, "  %s: no share was found\n", item.Path)
		default:
			fmt.Fprintf(w, "  %s: %d of %d shares good (%d needed)\n", item.Path, item.SharesGood, item.SharesTotal, item.Needed)
		}
	}
}
