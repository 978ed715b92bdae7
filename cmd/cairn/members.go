package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/node/control"
)

func newMembersCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "members",
		Short: "list the people of the grid",
		Long: help(`Lists the members of a private grid: what each lends and may use, how many of their devices answer now, and who
vouched for them. An introducer may invite and revoke. --all lists those too whose membership ended.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return about(err, "members")
			}
			defer client.Close()
			members, err := client.Members(cmd.Context())
			if err != nil {
				return err
			}
			shown := make([]control.Member, 0, len(members))
			for _, m := range members {
				if all || m.State == "member" {
					shown = append(shown, m)
				}
			}
			return a.result(shown, func(w io.Writer) { printMembers(w, shown) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list also those who were revoked or whose membership expired")
	return cmd
}

func printMembers(w io.Writer, members []control.Member) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NICKNAME\tROLE\tDEVICES\tLENDS\tMAY USE\tUSES HERE\tVOUCHED BY\tSINCE\tACCOUNT")
	for _, m := range members {
		role := "member"
		if m.Introducer {
			role = "introducer"
		}
		if m.Self {
			role += ", you"
		}
		if m.State != "member" {
			role = m.State
		}
		may := "unlimited"
		if m.MayUse >= 0 {
			may = sizeText(m.MayUse)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.8s\n", m.Nickname, role, devicesText(m), sizeText(m.Lends), may, sizeText(m.UsesHere),
			cmp.Or(m.GrantedBy, "the grid's key"), m.Since.Local().Format(time.DateOnly), m.Account)
		if m.Reason != "" {
			fmt.Fprintf(table, "\t%s\n", m.Reason)
		}
	}
	table.Flush()
}

func devicesText(m control.Member) string {
	answering := 0
	for _, d := range m.Devices {
		if d.Answers {
			answering++
		}
	}
	return fmt.Sprintf("%d of %d up", answering, len(m.Devices))
}

func newRevokeCommand(a *app) *cobra.Command {
	var request control.RevokeRequest
	cmd := &cobra.Command{
		Use:   "revoke MEMBER",
		Short: "end somebody's membership, for good",
		Long: help(`Ends the membership of a person and of all devices of theirs, for good. MEMBER is a nickname, an account key or the
start of one ("cairn members"). The members whom the person vouched for stay, because you vouch for them from now
on, and so do those whom these let in; what is printed names them. --with-theirs ends the membership of all of them
too.

Whoever stands closer to the grid's key can revoke: the founder everybody, an introducer those whom they or theirs
introduced. Nodes that cannot be reached now learn of it as soon as they meet any member that knows it. What the
person has stored stays readable for those who have its capabilities until its leases end; what the person holds of
others is made anew elsewhere by repairs.`, statusNotFound, statusRefused),
		Example: "  cairn revoke sister --reason \"lost the laptop\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := introducer.ValidReason(request.Reason); err != nil {
				return usagef("--reason: %w", err)
			}
			request.Member = args[0]
			client, err := a.client()
			if err != nil {
				return about(err, "revoke %s", args[0])
			}
			defer client.Close()
			revoked, err := client.Revoke(cmd.Context(), request)
			if err != nil {
				return err
			}
			return a.result(revoked, func(w io.Writer) { printRevoked(w, revoked) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "`TEXT` that all members can read")
	cmd.Flags().BoolVar(&request.WithTheirs, "with-theirs", false, "revoke also those whom the person let in, whom these let in, and so on")
	return cmd
}

func printRevoked(w io.Writer, r control.Revoked) {
	fmt.Fprintf(w, "revoked %s (%.8s)\n", r.Nickname, r.Account)
	for _, m := range r.Theirs {
		switch m.State {
		case "member":
			fmt.Fprintf(w, "%s (%.8s) stays a member, vouched for by %s\n", m.Nickname, m.Account, cmp.Or(m.GrantedBy, "the grid's key"))
		case "revoked":
			fmt.Fprintf(w, "revoked %s (%.8s)\n", m.Nickname, m.Account)
		default:
			fmt.Fprintf(w, "%s (%.8s) is %s as before\n", m.Nickname, m.Account, m.State)
		}
	}
}
