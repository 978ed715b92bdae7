package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newRmCommand(a *app) *cobra.Command {
	o := &rmOptions{}
	cmd := &cobra.Command{
		Use:        "rm PATH...",
		SuggestFor: []string{"rmdir", "remove", "delete", "del", "unlink"},
		Short:      "take names out of directories",
		Long: help(`Takes names out of their directories; with -r those of directories too, with whatever is in them, and with -d those of
empty ones. -i asks before each PATH, and -I once where there are more than three or with -r. What a name led to stays
for whoever has its capability, or another name of it: its shares are given up when nobody renews their leases any more.
What nodes keep for themselves in home:.cairn, aliases and shares, is removed with --force only. The former versions of
the directory still have the name ("cairn history").

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn rm home:docs/old.txt\n  cairn rm -r home:photos/2019\n  cairn rm -f -- home:-x",
		Args: func(cmd *cobra.Command, args []string) error {
			if o.force && len(args) == 0 { // as of a pattern that matched nothing
				return nil
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkNames("rm", args); err != nil || len(args) == 0 {
				return err
			}
			return a.running("rm", func(client *control.Client) error { return a.rm(cmd.Context(), client, o, args) })
		},
	}
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "remove directories with what is in them (also -R)")
	also(cmd.Flags(), &o.recursive, "R")
	cmd.Flags().BoolVarP(&o.empty, "empty", "d", false, "remove empty directories")
	cmd.Flags().BoolVarP(&o.ask, "interactive", "i", false, "ask before each PATH")
	cmd.Flags().BoolVarP(&o.askOnce, "ask-once", "I", false, "ask once before more than three PATHs, or with -r")
	verboseFlag(cmd.Flags(), &o.verbose)
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "no error for what is not there; remove also what nodes keep in home:.cairn")
	return cmd
}

// rmOptions say what to remove, and when to ask.
type rmOptions struct {
	recursive, empty, force, verbose, ask, askOnce bool
}

// rm removes names.
func (a *app) rm(ctx context.Context, client *control.Client, o *rmOptions, targets []string) error {
	what := ""
	if o.recursive {
		what = ", with what is in directories"
	}
	if o.askOnce && !o.force && (o.recursive || len(targets) > 3) {
		names := shownTarget(targets[0])
		if len(targets) > 1 {
			names = fmt.Sprintf("%d names", len(targets))
		}
		if yes, err := a.yes("rm: remove %s%s?", names, what); err != nil || !yes {
			return err
		}
	}
	removed := []control.Entry{}
	err := forEach(a, "rm", targets, func(target string) error {
		if o.ask && !o.force {
			if yes, err := a.yes("rm: remove %s%s?", shownTarget(target), what); err != nil || !yes {
				return err
			}
		}
		e, err := client.Remove(ctx, control.RemoveRequest{Target: target, Recursive: o.recursive, Empty: o.empty, Force: o.force})
		if err == nil {
			removed = append(removed, e)
			a.noteIf(o.verbose, "%s is removed", e.Path)
		} else if o.force && statusOf(err) == statusNotFound {
			err = nil
		}
		return a.refusedAt(ctx, client, err, above(target))
	})
	return firstError(err, a.result(removed, func(io.Writer) {}))
}

// checkNames refuses "." as the last name of what is to be moved or removed: it may be meant for what is in a directory, and would be the
// directory.
func checkNames(verb string, targets []string) error {
	for _, target := range targets {
		if strings.HasSuffix(target, "/.") || strings.HasSuffix(target, ":.") {
			return usagef("%s %s: \".\" is no name that could be taken out of a directory", verb, shownTarget(target))
		}
	}
	return nil
}

// forEach does something to each of several things. Where there are several it goes on behind a failure and tells it at once;
// the first one decides the exit status.
func forEach(a *app, verb string, targets []string, do func(string) error) error {
	var first error
	for _, target := range targets {
		err := do(target)
		if err == nil {
			continue
		}
		if errors.Is(err, context.Canceled) || len(targets) == 1 {
			return err
		}
		if !strings.HasPrefix(err.Error(), verb+":") && !strings.HasPrefix(err.Error(), verb+" ") {
			err = about(err, "%s", verb)
		}
		a.report(err)
		first = firstError(first, err)
	}
	if first != nil {
		return &silentError{first}
	}
	return nil
}

// firstError returns the first of two errors.
func firstError(err, other error) error {
	if err == nil {
		return other
	}
	return err
}
