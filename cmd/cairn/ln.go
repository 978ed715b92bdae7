package main

import (
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newLnCommand(a *app) *cobra.Command {
	var readOnly, force, verbose bool
	var directory string
	cmd := &cobra.Command{
		Use:   "ln CAPABILITY|PATH... TARGET",
		Short: "give a file or directory another name",
		Long: help(`Puts what a capability or a path leads to into a directory as well. Both names lead to the same thing: what is
changed through one is changed for the other. Several get their names in TARGET, a directory. With --read-only nothing
can be changed through the new name, nor through anything that is reached by it.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn ln cairn:dir-read:k51... home:from-sister\n  cairn ln --read-only home:docs home:public/docs",
		Args:              sourcesAndTarget,
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, target := split(args, directory)
			return a.running("ln", func(client *control.Client) error {
				linked := []control.Entry{}
				target, err := into(cmd.Context(), client, target, len(sources) > 1 || directory != "")
				if err != nil {
					return err
				}
				err = forEach(a, "ln", sources, func(source string) error {
					e, err := client.Link(cmd.Context(), control.LinkRequest{Source: source, Target: target, ReadOnly: readOnly, Replace: force})
					if err == nil {
						linked = append(linked, e)
						a.noteIf(verbose, "%s is %s too", shownTarget(source), e.Path)
					}
					return a.refusedAt(cmd.Context(), client, err, target)
				})
				if len(sources) == 1 && err == nil {
					return a.result(linked[0], func(io.Writer) {})
				}
				return firstError(err, a.result(linked, func(io.Writer) {}))
			})
		},
	}
	targetFlag(cmd.Flags(), &directory)
	verboseFlag(cmd.Flags(), &verbose)
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "link a capability that only reads")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that has the name already")
	return cmd
}
