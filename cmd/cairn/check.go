package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

// checkOptions say how thoroughly to check.
type checkOptions struct {
	verify, repair, recursive bool
}

func newCheckCommand(a *app) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:   "check CAPABILITY|PATH",
		Short: "show how healthy a file is",
		Long: help(`Asks the servers which shares of a file they hold. With --verify every share is downloaded and every byte of it
checked; bad ones are named with the peer that holds them. With --repair missing and bad shares are made anew. A
verify capability is enough for all of it. The status is 0 as long as the file can be recovered.

With -r everything below a directory is checked, each thing once however often it is linked, the directories
themselves included; what is not healthy is listed. That takes a read capability of the directory. Without -r only the
first page of a directory is checked, and that is all that its verify capability is good for; the output says so.

What was stored while the grid was smaller stays on the servers of then: it is named when it is on fewer of them than
what is stored now. It can be read, so the status is 0; "cairn repair -r" stores it anew.

`+pathHelp, statusNotFound, statusNotEnough),
		Example:           "  cairn check --verify cairn:file-verify:bafy...\n  cairn check -r home:\n  cairn check -r --repair home:docs",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.recursive {
				return runCheckTree(cmd.Context(), a, o, "check", args[0])
			}
			if o.repair {
				return runRepair(cmd.Context(), a, o, args[0])
			}
			return runCheck(cmd.Context(), a, o, args[0])
		},
	}
	cmd.Flags().BoolVar(&o.verify, "verify", false, "download and check every share")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "make missing and bad shares anew")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "everything below a directory")
	return cmd
}

func newRepairCommand(a *app) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:   "repair CAPABILITY|PATH",
		Short: "make the missing shares of a file anew",
		Long: help(`Makes the missing shares of a file anew from those that are left, and stores them on servers that have none. With
--verify every share is downloaded and checked first, and bad ones are replaced too. A verify capability is enough:
who repairs an immutable file need not be able to read it. Interrupted, it goes on where it stopped. With -r
everything below a directory is repaired, and what is on fewer servers than what is stored now is stored anew, with the
grid's parameters of now: what can change gets another version with the same contents, and what never changes, snapshots
included, is stored as something else with the same contents, to which the directories lead from then on that you can
write. What you can only read is named, and left to those who can write it.

With -r the status is 0 when nothing is left that could be mended from here.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.recursive {
				o.repair = true
				return runCheckTree(cmd.Context(), a, o, "repair", args[0])
			}
			return runRepair(cmd.Context(), a, o, args[0])
		},
	}
	cmd.Flags().BoolVar(&o.verify, "verify", false, "download and check every share first")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "everything below a directory")
	return cmd
}

func runCheck(ctx context.Context, a *app, o *checkOptions, text string) error {
	c, err := a.opened(ctx, "check", text)
	if err != nil {
		return err
	}
	if _, ok := c.Data(); ok {
		return a.printLiteralHealth(control.NothingStored())
	}
	client, err := a.client()
	if err != nil {
		return about(err, "check %s", c)
	}
	defer client.Close()
	bar := a.progress()
	defer bar.done()
	report, err := client.Check(ctx, c, o.verify, bar.show)
	bar.done()
	if err != nil {
		return about(atPath(err, c, text), "check %s", subject(c, text))
	}
	document := struct {
		control.Report
		Covers string `json:"covers,omitempty"`
	}{report, covers(c)}
	err = a.result(document, func(w io.Writer) {
		printReport(w, report, nicknames(ctx, client))
		printCovers(w, c)
	})
	if err != nil {
		return err
	}
	return a.verdict(c, text, report)
}

// verdict returns an error when the file cannot be recovered, and advises to repair one that was typed so where that is needed.
func (a *app) verdict(c capability.Capability, typedAs string, report control.Report) error {
	if err := report.Err(); err != nil {
		return about(control.ErrorOf(err), "check %s", subject(c, typedAs))
	}
	if !report.Healthy {
		if strings.HasPrefix(typedAs, "cairn:") {
			typedAs = report.Capability // which repairs and is no secret
		}
		a.note("next: \"%s\" makes the missing shares anew", a.command(typed("repair", typedAs)))
	}
	a.noteThin(typedAs, report)
	return nil
}

// noteThin says how a file comes to stand on more servers.
func (a *app) noteThin(typedAs string, report control.Report) {
	switch {
	case !report.Thin:
	case !strings.HasPrefix(typedAs, "cairn:"):
		a.note("next: \"%s\" stores it anew", a.command(typed("repair", "-r", typedAs)))
	case report.Spreadable():
		a.note("next: \"%s\" copies shares to others", a.command(typed("repair", report.Capability)))
	default:
		a.note("next: store it again, which gives it another capability; what has a name is stored anew by \"%s\"", a.command("repair -r "+homeTarget))
	}
}

func runRepair(ctx context.Context, a *app, o *checkOptions, text string) error {
	c, err := a.opened(ctx, "repair", text)
	if err != nil {
		return err
	}
	if _, ok := c.Data(); ok {
		return a.printLiteralHealth(control.RepairReport{Before: control.NothingStored(), After: control.NothingStored()})
	}
	client, err := a.client()
	if err != nil {
		return about(err, "repair %s", c)
	}
	defer client.Close()
	bar := a.progress()
	defer bar.done()
	result, err := client.Repair(ctx, c, o.verify, bar.show)
	bar.done()
	if err != nil {
		return about(atPath(err, c, text), "repair %s", subject(c, text))
	}
	document := struct {
		control.RepairReport
		Covers string `json:"covers,omitempty"`
	}{result, covers(c)}
	defer a.noteThin(text, result.After)
	return a.result(document, func(w io.Writer) {
		names := nicknames(ctx, client)
		fmt.Fprintf(w, "%d shares made\n", len(result.Made))
		for _, made := range result.Made {
			fmt.Fprintf(w, "  share %d on %s\n", made.Number, names.of(made.Peer))
		}
		printReport(w, result.After, names)
		printCovers(w, c)
	})
}

// subject returns how messages call what a capability leads to that a person named so.
func subject(c capability.Capability, typedAs string) string {
	if strings.HasPrefix(typedAs, "cairn:") { // a secret
		return c.String()
	}
	return typedAs
}

// rootPage says in a document that only the first page of a directory was looked at.
const rootPage = "root page"

// covers says how much of a thing a check without -r looks at, nothing where that is all of it.
func covers(c capability.Capability) string {
	switch c.Kind() {
	case capability.KindDir, capability.KindDirRead, capability.KindDirVerify, capability.KindIDir, capability.KindIDirVerify:
		return rootPage
	}
	return ""
}

func printCovers(w io.Writer, c capability.Capability) {
	if covers(c) == "" {
		return
	}
	with := "-r looks at everything in it"
	if _, reads := c.ReadKey(); !reads {
		with = "-r with its read capability looks at everything in it; a verify capability does not tell what that is"
	}
	fmt.Fprintf(w, "only the first page of the directory was looked at: %s\n", with)
}

// printLiteralHealth says how healthy a literal is: it is stored nowhere.
func (a *app) printLiteralHealth(report any) error {
	return a.result(report, func(w io.Writer) {
		fmt.Fprintln(w, "healthy: the capability holds the data itself, nothing is stored")
	})
}

// peerNames are the nicknames of peers.
type peerNames map[share.ServerID]string

// nicknames asks the node for them. Without an answer ids have to do.
func nicknames(ctx context.Context, client *control.Client) peerNames {
	all := peerNames{}
	if peers, err := client.Peers(ctx); err == nil {
		for _, p := range peers {
			all[share.ServerID(p.ID)] = p.Nickname
		}
	}
	if own, err := client.Status(ctx); err == nil {
		all[share.ServerID(own.Node)] = own.Nickname
		all[control.BucketOf(share.ServerID(own.Node))] = "bucket"
	}
	return all
}

// of returns the nickname with the id, or the id alone.
func (n peerNames) of(id share.ServerID) string {
	if nickname := n[id]; nickname != "" {
		return nickname + " " + string(id)
	}
	return string(id)
}

func printReport(w io.Writer, r control.Report, names peerNames) {
	state := "HEALTHY"
	switch {
	case !r.Recoverable:
		state = "NOT RECOVERABLE"
	case !r.Healthy:
		state = "DEGRADED, recoverable"
	case r.Thin:
		state = fmt.Sprintf("ON TOO FEW SERVERS, %d are wanted now", r.Wanted)
	}
	how := "as the servers say"
	if r.Verified {
		how = "every byte verified"
	}
	fmt.Fprintf(w, "%s: %d of %d shares good (%d needed) on %d servers, %s\n", state, r.SharesGood, r.SharesTotal, r.SharesNeeded, r.Happiness, how)
	for _, id := range slices.Sorted(maps.Keys(r.Holders)) {
		fmt.Fprintf(w, "  good: %s on %s\n", shareNumbers(r.Holders[id]), names.of(id))
	}
	for _, f := range r.Corrupt {
		dropped := ""
		if f.Dropped {
			dropped = "; it has let go of it, and takes it anew"
		}
		fmt.Fprintf(w, "  corrupt: share %d on %s: %s%s\n", f.Number, names.of(f.Peer), f.Reason, dropped)
	}
	for _, f := range r.Undelivered {
		fmt.Fprintf(w, "  not delivered: share %d by %s: %s\n", f.Number, names.of(f.Peer), f.Reason)
	}
	for _, u := range r.Unanswered {
		fmt.Fprintf(w, "  no answer: %s: %s\n", names.of(u.Peer), u.Reason)
	}
}

// shareNumbers lists share numbers, "share 3" or "shares 1, 4".
func shareNumbers(numbers []share.Number) string {
	text := make([]string, len(numbers))
	for i, n := range numbers {
		text[i] = n.String()
	}
	if len(text) == 1 {
		return "share " + text[0]
	}
	return "shares " + strings.Join(text, ", ")
}
