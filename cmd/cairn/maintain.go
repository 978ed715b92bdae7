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
no server has are counted; "cairn check -r home:" names them. It also counts what is not healthy, which "cairn repair -r
home:" mends: nothing is stored anew by itself. Past versions that are to be kept ("cairn history" shows
for how long) are renewed with the newest one of a file or a directory; "check" and "repair" do not look at them.`, statusNotEnough),
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
				defer a.noteUnhealthy(report.Thin + report.Degraded)
				return a.result(report, func(w io.Writer) {
					fmt.Fprintf(w, "%d directories and %d files, stored as %d objects: %d leases renewed, %d not found\n",
						report.Directories, report.Files, report.Objects, report.Renewed, report.Missing)
					if report.Versions > 0 || report.VersionsMissing > 0 {
						fmt.Fprintf(w, "%d past versions renewed, %d not found\n", report.Versions, report.VersionsMissing)
					}
					if report.Thin+report.Degraded > 0 {
						fmt.Fprintf(w, "%d objects are on too few servers, of %d shares are missing\n", report.Thin, report.Degraded)
					}
					for _, problem := range report.Problems {
						fmt.Fprintf(w, "  %s\n", problem)
					}
				})
			})
		},
	}
}
