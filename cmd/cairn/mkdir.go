package main

import (
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newMkdirCommand(a *app) *cobra.Command {
	var parents, verbose bool
	cmd := &cobra.Command{
		Use:   "mkdir PATH...",
		Short: "make directories on the grid",
		Long: help("Makes empty directories. With -p those above them are made too, and one that is there already is no error.\n\n"+pathHelp,
			statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn mkdir home:docs\n  cairn mkdir -p home:photos/2026/summer",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("mkdir", func(client *control.Client) error {
				made := []control.Entry{}
				err := forEach(a, "mkdir", args, func(target string) error {
					e, err := client.Mkdir(cmd.Context(), control.MkdirRequest{Target: target, Parents: parents})
					if err == nil {
						made = append(made, e)
						a.noteIf(verbose, "%s is there", e.Path)
					}
					return a.refusedAt(cmd.Context(), client, err, target)
				})
				return firstError(err, a.result(made, func(io.Writer) {}))
			})
		},
	}
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, "make the directories above it too; no error if it exists")
	verboseFlag(cmd.Flags(), &verbose)
	return cmd
}
