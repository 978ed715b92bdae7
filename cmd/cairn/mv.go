package main

import (
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newMvCommand(a *app) *cobra.Command {
	var keep, verbose bool
	cmd := &cobra.Command{
		Use:   "mv PATH... TARGET",
		Short: "rename or move what is on the grid",
		Long: help(`Gives a file or a directory another name, or moves it into another directory: into TARGET where that is a directory,
and always where there are several. A file that has the name already is replaced, a directory is not. Nothing is
stored anew.

In one directory it is one step. Between two, the new name is there before the old one is gone: interrupted, both
are there, and the same command again ends it.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn mv home:plan.txt home:docs/\n  cairn mv home:docs/plan.txt home:docs/plan-2026.txt",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, target := args[:len(args)-1], args[len(args)-1]
			if err := checkNames("mv", sources); err != nil {
				return err
			}
			return a.running("mv", func(client *control.Client) error {
				moved := []control.Entry{}
				target, err := into(cmd.Context(), client, target, len(sources) > 1)
				if err != nil {
					return err
				}
				err = forEach(a, "mv", sources, func(source string) error {
					e, err := client.Move(cmd.Context(), control.MoveRequest{Source: source, Target: target, Keep: keep})
					if err == nil {
						moved = append(moved, e)
						a.noteIf(verbose, "%s is %s", shownTarget(source), e.Path)
					}
					return err
				})
				return firstError(err, a.result(moved, func(io.Writer) {}))
			})
		},
	}
	habits(cmd.Flags(), "f")
	verboseFlag(cmd.Flags(), &verbose)
	cmd.Flags().BoolVarP(&keep, "no-clobber", "n", false, "do not replace what has the name already")
	return cmd
}
