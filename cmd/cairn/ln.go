package main

import (
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newLnCommand(a *app) *cobra.Command {
	var readOnly, force bool
	cmd := &cobra.Command{
		Use:   "ln CAPABILITY|PATH TARGET",
		Short: "give a file or directory another name",
		Long: help(`Puts what a capability or a path leads to into a directory as well. Both names lead to the same thing: what is
changed through one is changed for the other. With --read-only nothing can be changed through the new name, nor
through anything that is reached by it.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn ln cairn:dir-read:k51... home:from-sister\n  cairn ln --read-only home:docs home:public/docs",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("ln", func(client *control.Client) error {
				e, err := client.Link(cmd.Context(), control.LinkRequest{Source: args[0], Target: args[1], ReadOnly: readOnly, Replace: force})
				if err != nil {
					return err
				}
				return a.result(e, func(io.Writer) {})
			})
		},
	}
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "link a capability that only reads")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that has the name already")
	return cmd
}
