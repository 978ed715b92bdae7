package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show the running node at a glance",
		Long:  help("Shows the running node: who it is, its grid, how many peers answer, and the space it lends."),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.result(s, func(w io.Writer) { printStatus(w, s) })
		},
	}
}

func printStatus(w io.Writer, s control.Status) {
	fmt.Fprintf(w, "node     %s %s\n", s.Nickname, s.Node)
	fmt.Fprintf(w, "grid     %s (%s)\n", s.Grid.Name, s.Grid.ID)
	fmt.Fprintf(w, "peers    %d answer, %d known\n", s.Peers, s.PeersKnown)
	if s.Storage.Enabled {
		fmt.Fprintf(w, "storage  lends %s, %s used, %s free\n", sizeText(s.Storage.Offered), sizeText(s.Storage.Used), sizeText(s.Storage.Free))
	} else {
		fmt.Fprintf(w, "storage  lends nothing\n")
	}
	fmt.Fprintf(w, "up       %s, process %d, version %s\n", (time.Duration(s.Uptime) * time.Second).Round(time.Second), s.PID, s.Version)
	for _, address := range s.Addresses {
		fmt.Fprintf(w, "address  %s\n", address)
	}
}
