package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newMaintainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "maintain",
		Short: "renew the leases of your files now",
		Long: help(`Goes through everything that is reachable from your root directory, and renews the leases that are more than half
over, so that the members keep the shares. A running node does that by itself once a week. Names that lead to what
no server has are counted; "cairn check -r home:" names them.`, statusNotEnough),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.running("maintain", func(client *control.Client) error {
				bar := a.progress()
				defer bar.done()
				report, err := client.Maintain(cmd.Context(), bar.count)
				bar.done()
				if err != nil {
					return err
				}
				return a.result(report, func(w io.Writer) {
					fmt.Fprintf(w, "%d directories and %d files, stored as %d objects: %d leases renewed, %d not found\n",
						report.Directories, report.Files, report.Objects, report.Renewed, report.Missing)
					for _, problem := range report.Problems {
						fmt.Fprintf(w, "  %s\n", problem)
					}
				})
			})
		},
	}
}
