package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share"
)

func newHistoryCommand(a *app) *cobra.Command {
	keep := &retainFlags{}
	cmd := &cobra.Command{
		Use:   "history CAPABILITY|PATH",
		Short: "show the versions of a mutable file or a directory, and set which are kept",
		Long: help(`Shows the versions that the servers still have, the newest first: its number, when it was written, and its size (of
a directory, of its list). Two versions with one number were written by writers who did not know of each other;
what follows the number, as in 4@70dcc5b7, tells them apart. What this node wrote into a file when somebody else
was first is kept for a week, and marked; only this node shows it.

A past version is kept while it is among the newest, and for a time after it was replaced: both can be set when the
file is stored (put --keep-versions, --keep-for), for all that this node makes from then on (cairn config set
history.versions, history.keep), and here for what exists, which writes a version that is otherwise the same. It holds
for the versions that are still there. What is kept takes space, and counts for the quota of who wrote it. Its leases
are renewed with those of the newest version by who has it in home: ("cairn maintain" says when).

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn history home:notes.txt\n  cairn history home:\n  cairn history --keep-versions 50 --keep-for 90d home:notes.txt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := keep.retention(cmd.Flags())
			if err != nil {
				return err
			}
			return a.running("history", func(client *control.Client) error {
				if wanted != (control.Retention{}) {
					v, err := client.Retain(cmd.Context(), control.RetainRequest{Target: args[0], Keep: wanted})
					if err != nil {
						return a.removed(err, args[0])
					}
					a.note("%s: %s", args[0], retentionText(*v.Retention))
					return a.result(v, func(io.Writer) {})
				}
				versions, err := client.History(cmd.Context(), args[0])
				if err != nil {
					return a.removed(err, args[0])
				}
				return a.result(versions, func(w io.Writer) { showVersions(w, versions) })
			})
		},
	}
	keep.addFlags(cmd.Flags())
	return cmd
}

// showVersions writes a table of versions, of which the first one says how long the others are kept.
func showVersions(w io.Writer, versions []control.Version) {
	t := newTable(w, "VERSION", "WRITTEN", "SIZE", "KEPT")
	for i, v := range versions {
		size := "-"
		if v.Size >= 0 {
			size = fmt.Sprint(v.Size)
		}
		t.row(versionText(versions, i), v.Written.Local().Format("2006-01-02 15:04:05"), size, keptText(v))
	}
	t.end()
	if r := versions[0].Retention; r != nil {
		fmt.Fprintf(w, "%s\n", retentionText(*r))
	}
}

// versionText returns what names a version of a list to restore it.
func versionText(versions []control.Version, i int) string {
	v := versions[i]
	for j, other := range versions {
		if j != i && other.Version == v.Version {
			return control.VersionText(v.Version, v.Record)
		}
	}
	return control.VersionText(v.Version, "")
}

// restoreOptions say what is restored.
type restoreOptions struct {
	snapshot string
	keep     bool
	repeats  int
	empty    bool
	force    bool
}

func newRestoreCommand(a *app) *cobra.Command {
	o := &restoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore CAPABILITY|PATH VERSION|FOLDER",
		Short: "bring back a former version, or a snapshot of a backup",
		Long: help(`With a VERSION, writes a new version of a mutable file or a directory that is as a former one was ("cairn history"
shows their numbers). The versions in between stay in the history.

With a FOLDER, writes a snapshot of the backup at PATH to this machine, the newest if --snapshot names no other
("cairn snapshots" shows them). Files that are there with the same size and time are not fetched; others are
replaced, and what is in FOLDER beside them stays. A folder whose name is a number is written ./NAME.

With --empty, begins a directory anew of which no server has anything any more, such as home: after all disks were
lost: with nothing in it, under the same capability. It is refused while a node that stores does not answer, unless
--force is given; what such nodes have is brought together with the new directory when they come back.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn restore home:notes.txt 3\n  cairn restore home:backups/laptop ~/restored --snapshot 2026-11-21",
		Args:              o.args,
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.empty {
				return a.restoreEmpty(cmd.Context(), control.RestoreRequest{Target: args[0], Empty: true, Force: o.force})
			}
			version, record, ok := control.ParseVersion(args[1])
			switch {
			case o.repeats < 1:
				return usagef("restore: --repeats %d: want 1 or more", o.repeats)
			case ok:
				return a.restoreVersion(cmd.Context(), control.RestoreRequest{Target: args[0], Version: version, Record: record})
			case args[1] == "0" || strings.HasPrefix(args[1], "-"):
				return usagef("restore: %q is no version: want a number that \"cairn history\" shows", args[1])
			}
			return a.restoreSnapshot(cmd.Context(), o, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "latest", "the `NAME` of a snapshot or the beginning of it, such as 2026-11-21")
	cmd.Flags().BoolVarP(&o.keep, "no-clobber", "n", false, "do not replace files that are there")
	cmd.Flags().BoolVar(&o.empty, "empty", false, "begin a directory anew of which no server has anything any more")
	cmd.Flags().BoolVar(&o.force, "force", false, "with --empty: although nodes that may have it do not answer")
	repeatsFlag(cmd.Flags(), &o.repeats)
	return cmd
}

// args checks how many arguments there are.
func (o *restoreOptions) args(cmd *cobra.Command, args []string) error {
	switch {
	case o.empty:
		return cobra.ExactArgs(1)(cmd, args)
	case o.force:
		return usagef("restore: --force goes with --empty only")
	}
	return cobra.ExactArgs(2)(cmd, args)
}

// restoreEmpty begins a lost directory anew.
func (a *app) restoreEmpty(ctx context.Context, request control.RestoreRequest) error {
	return a.running("restore", func(client *control.Client) error {
		v, err := client.Restore(ctx, request)
		if err != nil {
			return err
		}
		a.note("%s is begun anew, with nothing in it; it is version %d", request.Target, v.Version)
		return a.result(v, func(io.Writer) {})
	})
}

// removed says of a path where nothing is which history has what was there: that of the directory above.
func (a *app) removed(err error, target string) error {
	target = strings.TrimRight(target, "/")
	cut := strings.LastIndexByte(target, '/')
	above := target[:max(cut, 0)]
	if alias, name, ok := strings.Cut(target, ":"); cut < 0 && ok && name != "" && alias != "cairn" {
		above = alias + ":"
	}
	if !errors.Is(err, share.ErrNotFound) || above == "" {
		return err
	}
	return withHint(err, "what was removed is in the versions before of the directory above: \"%s\"", a.command(typed("history", above)))
}

// restoreVersion makes a former version the newest.
func (a *app) restoreVersion(ctx context.Context, request control.RestoreRequest) error {
	return a.running("restore", func(client *control.Client) error {
		v, err := client.Restore(ctx, request)
		if errors.Is(err, share.ErrNotFound) {
			if _, lost := client.Lookup(ctx, control.LookupRequest{Target: request.Target}); errors.Is(lost, share.ErrNotFound) {
				return a.removed(err, request.Target)
			}
			return withHint(err, "\"%s\" shows the versions that there are", a.command(typed("history", shownTarget(request.Target))))
		}
		if err != nil {
			return err
		}
		a.note("%s is as version %s was; it is version %d now", request.Target, control.VersionText(request.Version, request.Record), v.Version)
		return a.result(v, func(io.Writer) {})
	})
}
