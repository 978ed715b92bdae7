package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"cairn/node/control"
)

// runCheckTree checks or repairs everything below a directory, and prints what is not healthy and a summary.
func runCheckTree(ctx context.Context, a *app, o *checkOptions, verb, target string) error {
	return a.running(verb, func(client *control.Client) error {
		bar := a.progress()
		defer bar.done()
		report, err := client.CheckTree(ctx, control.TreeCheckRequest{Target: target, Verify: o.verify, Repair: o.repair}, bar.count)
		bar.done()
		if err != nil {
			return err
		}
		err = a.result(report, func(w io.Writer) { printTreeReport(w, o, report, nicknames(ctx, client)) })
		if err != nil {
			return err
		}
		if o.repair {
			return a.repaired(verb, target, report)
		}
		return a.checkedTree(target, report)
	})
}

// checkedTree returns an error where something cannot be recovered, and advises to repair what can.
func (a *app) checkedTree(target string, r control.TreeReport) error {
	if r.Unrecoverable > 0 {
		return a.lostError(target, r)
	}
	again := fmt.Sprintf("%q", a.command(typed("repair", "-r", target)))
	if strings.HasPrefix(target, "cairn:") { // a secret
		again = fmt.Sprintf("%q with the same capability", a.command("repair -r"))
	}
	var does []string
	if r.Degraded > 0 {
		does = append(does, "makes the missing shares anew")
	}
	if r.Thin > 0 {
		does = append(does, "stores anew what is on too few servers")
	}
	switch {
	case len(does) == 0:
	case len(r.Unanswered) > 0 && r.Degraded > 0:
		a.note("next: less is missing when who did not answer is back; \"%s\" shows who is there. %s %s", a.command("peers"), again, strings.Join(does, " and "))
	default:
		a.note("next: %s %s", again, strings.Join(does, " and "))
	}
	return nil
}

// lostError says that something cannot be recovered, and what may help.
func (a *app) lostError(target string, r control.TreeReport) error {
	e := &control.Error{
		Code: control.CodeNotEnough, Message: fmt.Sprintf("%s: %d of %d objects cannot be recovered now", strings.TrimSuffix(r.Path, ":"), r.Unrecoverable, r.Objects),
	}
	if r.Away > 0 {
		e.Hint = fmt.Sprintf("%s did not answer; \"%s\" shows who does, try again when they are back", counted(int64(r.Away), "server"), a.command("peers"))
		return e
	}
	e.Hint = "every server answered, so it is lost unless somebody who left comes back"
	for _, item := range r.Unhealthy {
		if changes := item.SharesTotal == 0 && item.Problem != ""; changes && !strings.HasPrefix(target, "cairn:") {
			e.Hint += fmt.Sprintf("; earlier versions may be there: \"%s\"", a.command(typed("history", item.Path)))
			break
		}
	}
	return e
}

// repaired returns an error where something is left that a repair was to mend. What can only be read is for others to mend.
func (a *app) repaired(verb, target string, r control.TreeReport) error {
	switch {
	case r.Unrecoverable > 0:
		return a.lostError(target, r)
	case r.Stopped != nil:
		stopped := *r.Stopped
		stopped.Message = fmt.Sprintf("%s: %d of %d objects are on too few servers still: %s", strings.TrimSuffix(r.Path, ":"), r.Thin, r.Objects, stopped.Message)
		return about(&stopped, "%s", verb)
	}
	left, code := 0, control.Code("")
	for _, item := range r.Unhealthy {
		if !item.Thin || item.Code != control.CodeRefused {
			left++
			code = cmp.Or(code, item.Code)
		}
	}
	if left == 0 {
		return nil
	}
	return about(&control.Error{
		Code:    cmp.Or(code, control.CodeNotEnough),
		Message: fmt.Sprintf("%s: %d of %d objects could not be made whole: they can be read, and are named above", strings.TrimSuffix(r.Path, ":"), left, r.Objects),
		Hint: fmt.Sprintf("\"%s\" shows who answers and how much each takes; start or invite more nodes that store, or wait for those that are away, and run it again",
			a.command("peers")),
	}, "%s", verb)
}

func printTreeReport(w io.Writer, o *checkOptions, r control.TreeReport, names peerNames) {
	for first := 0; first < len(r.Unhealthy); {
		next := first + 1
		for next < len(r.Unhealthy) && r.Unhealthy[next].Path == r.Unhealthy[first].Path {
			next++
		}
		fmt.Fprintf(w, "  %s: %s\n", strings.TrimSuffix(r.Unhealthy[first].Path, ":"), conditionOf(r.Unhealthy[first:next], names))
		first = next
	}
	if more := r.Thin + r.Degraded + r.Unrecoverable - len(r.Unhealthy); more > 0 {
		fmt.Fprintf(w, "  and %d objects more\n", more)
	}
	for _, silent := range r.Unanswered {
		fmt.Fprintf(w, "no answer from %s: %s; what it holds is not counted\n", names.of(silent.Peer), silent.Reason)
	}
	fmt.Fprintf(w, "%s  %d directories, %d files (%s)\n", r.Path, r.Directories, r.Files, sizeText(r.Bytes))
	if o.repair {
		fmt.Fprintf(w, "%d objects repaired, %d shares made\n", r.Repaired, r.SharesMade)
	}
	if r.StoredFiles+r.StoredDirectories > 0 {
		fmt.Fprintf(w, "%s (%s) and %s stored anew\n", counted(int64(r.StoredFiles), "file"), sizeText(r.StoredBytes), directoriesText(r.StoredDirectories))
	}
	fmt.Fprintf(w, "%d objects: %d healthy, ", r.Objects, r.Healthy)
	if r.Thin > 0 {
		fmt.Fprintf(w, "%d on too few servers, ", r.Thin)
	}
	fmt.Fprintf(w, "%d degraded, %d not recoverable", r.Degraded, r.Unrecoverable)
	if r.Literals > 0 {
		fmt.Fprintf(w, "; %d files are in their capability, stored nowhere", r.Literals)
	}
	fmt.Fprintln(w)
	if r.Former > 0 {
		copies := "former copies"
		if r.Former == 1 {
			copies = "former copy"
		}
		fmt.Fprintf(w, "not counted: %d %s of what you unshared, which this node goes on marking as such; the new ones are counted\n", r.Former, copies)
	}
}

func directoriesText(n int) string {
	if n == 1 {
		return "1 directory"
	}
	return fmt.Sprintf("%d directories", n)
}

// conditionOf says what is wrong with a thing: with the worst of the pages, where it is a directory that has several.
func conditionOf(items []control.TreeItem, names peerNames) string {
	worst := items[0]
	for _, item := range items[1:] {
		if badness(item) > badness(worst) {
			worst = item
		}
	}
	text := condition(worst, names)
	if len(items) > 1 {
		text += fmt.Sprintf(" (the worst of %d pages of the directory)", len(items))
	}
	return text
}

// badness orders what is wrong: first what cannot be recovered, last what is on too few servers.
func badness(item control.TreeItem) int {
	switch {
	case !item.Recoverable:
		return 1 << 20
	case item.Thin:
		return item.Wanted - item.Servers
	}
	return 1<<10 + item.SharesTotal - item.SharesGood
}

func condition(item control.TreeItem, names peerNames) string {
	text := ""
	switch {
	case item.SharesTotal == 0 && item.Problem != "":
		return item.Problem
	case item.SharesTotal == 0:
		return "no share was found"
	case !item.Recoverable:
		text = fmt.Sprintf("%d of %d shares good, %d are needed", item.SharesGood, item.SharesTotal, item.Needed)
	case item.Thin:
		text = fmt.Sprintf("on %s, what is stored now is on %d", counted(int64(item.Servers), "server"), item.Wanted)
	default:
		text = fmt.Sprintf("%d of %d shares good (%d needed)", item.SharesGood, item.SharesTotal, item.Needed)
	}
	for _, f := range item.Corrupt {
		text += fmt.Sprintf("; share %d on %s is damaged", f.Number, cmp.Or(names[f.Peer], f.Peer.Short()))
	}
	if item.Problem != "" {
		text += "; " + item.Problem
	}
	return text
}
