package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

func newPeersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "peers",
		Short: "list the other nodes of the grid",
		Long: help(`Lists the nodes of the grid that this node knows: how they are reached (directly, through a hole punched in routers,
or relayed by a member), how fast they answer, how much space they have left, and the version they run. A peer that
stopped answering is still listed, with when it was last seen; where the connection still stands, a line below says
that it does not answer.`),
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
	t := newTable(w, "NICKNAME", "PATH", "LATENCY", "FREE", "VERSION", "LAST SEEN", "ID")
	for _, p := range peers {
		path, latency, free := cmp.Or(pathNames[p.Path], p.Path, "-"), "-", "-"
		if p.Transport != "" {
			path += " " + p.Transport
		}
		if p.LatencyMS > 0 {
			latency = fmt.Sprintf("%.1f ms", p.LatencyMS)
		}
		if p.Storage {
			free = sizeText(p.Free)
		}
		version, _, _ := strings.Cut(strings.TrimPrefix(p.Version, "cairn/"), "+")
		t.row(cmp.Or(p.Nickname, "-"), path, latency, free, cmp.Or(version, "-"), lastSeen(p), p.ID)
		switch {
		case p.Problem != "":
			t.note("not used: " + p.Problem)
		case p.Path != "" && !p.Answers && p.LastSeen.IsZero():
			t.note("not used: it is connected and has not answered yet")
		case p.Path != "" && !p.Answers:
			t.note("not used: it is connected and does not answer; it is asleep, stopped, cut off or overloaded")
		}
	}
	t.end()
}

// pathNames are the paths that are called otherwise for people.
var pathNames = map[string]string{"punched": "hole-punched"}

func lastSeen(p control.Peer) string {
	switch {
	case p.Answers:
		return "now"
	case p.LastSeen.IsZero():
		return "never"
	}
	return time.Since(p.LastSeen).Round(time.Second).String() + " ago"
}
