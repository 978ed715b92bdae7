package main

import (
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newMvCommand(a *app) *cobra.Command {
	var keep, ask, exact, verbose bool
	var directory string
	cmd := &cobra.Command{
		Use:        "mv PATH... TARGET",
		SuggestFor: []string{"move", "rename", "ren"},
		Short:      "rename or move what is on the grid",
		Long: help(`Gives a file or a directory another name, or moves it into another directory: into TARGET where that is a directory,
and always where there are several. A file that has the name already is replaced, a directory is not; with -n that is
an error, and -i asks before. Nothing is stored anew.

In one directory it is one step. Between two, the new name is there before the old one is gone: interrupted, both
are there, and the same command again ends it.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn mv home:plan.txt home:docs/\n  cairn mv home:docs/plan.txt home:docs/plan-2026.txt",
		Args:              sourcesAndTarget,
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, target := split(args, directory)
			if err := checkNames("mv", sources); err != nil {
				return err
			}
			if exact && (len(sources) > 1 || directory != "") {
				return usagef("mv: with -T there is one PATH and one TARGET")
			}
			return a.running("mv", func(client *control.Client) error {
				moved := []control.Entry{}
				target, err := into(cmd.Context(), client, target, len(sources) > 1 || directory != "")
				if err != nil {
					return err
				}
				err = forEach(a, "mv", sources, func(source string) error {
					if ask && !keep {
						if yes, err := a.mayReplace(cmd.Context(), client, "mv", target, nameOf(source), exact); err != nil || !yes {
							return err
						}
					}
					e, err := client.Move(cmd.Context(), control.MoveRequest{Source: source, Target: target, Keep: keep, Exact: exact})
					if err == nil {
						moved = append(moved, e)
						a.noteIf(verbose, "%s is %s", shownTarget(source), e.Path)
					}
					return a.refusedAt(cmd.Context(), client, err, above(source), target)
				})
				return firstError(err, a.result(moved, func(io.Writer) {}))
			})
		},
	}
	habits(cmd.Flags(), "f")
	verboseFlag(cmd.Flags(), &verbose)
	askFlag(cmd.Flags(), &ask)
	targetFlag(cmd.Flags(), &directory)
	cmd.Flags().BoolVarP(&exact, "no-target-directory", "T", false, "rename to TARGET, and do not move into it where it is a directory")
	cmd.Flags().BoolVarP(&keep, "no-clobber", "n", false, "do not replace what has the name already")
	return cmd
}
