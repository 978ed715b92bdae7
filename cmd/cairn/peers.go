package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newPeersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "peers",
		Short: "list the other nodes of the grid",
		Long: help(`Lists the nodes of the grid that this node knows: how they are reached (direct or relayed), how fast they answer, and
how much space they have left. A peer that stopped answering is still listed, with when it was last seen.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			peers, err := client.Peers(cmd.Context())
			if err != nil {
				return err
			}
			return a.result(peers, func(w io.Writer) { printPeers(w, peers) })
		},
	}
}

func printPeers(w io.Writer, peers []control.Peer) {
	if len(peers) == 0 {
		fmt.Fprintln(w, "no peers are known yet")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NICKNAME\tPATH\tLATENCY\tFREE\tLAST SEEN\tID")
	for _, p := range peers {
		path, latency, free := cmp.Or(p.Path, "-"), "-", "-"
		if p.Transport != "" {
			path += " " + p.Transport
		}
		if p.LatencyMS > 0 {
			latency = fmt.Sprintf("%.1f ms", p.LatencyMS)
		}
		if p.Storage {
			free = sizeText(p.Free)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(p.Nickname, "-"), path, latency, free, lastSeen(p), p.ID)
		if p.Problem != "" {
			fmt.Fprintf(table, "\tnot used: %s\n", p.Problem)
		}
	}
	table.Flush()
}

func lastSeen(p control.Peer) string {
	switch {
	case p.Answers:
		return "now"
	case p.LastSeen.IsZero():
		return "never"
	}
	return time.Since(p.LastSeen).Round(time.Second).String() + " ago"
}
