package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cairn/introducer"
	"cairn/node/config"
	"cairn/node/control"
)

func newMembersCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "members",
		Short: "list the people of the grid",
		Long: help(`Lists the members of a private grid: what each lends and may use, how many of their devices answer now, and who
vouched for them. An introducer may invite and revoke. --all lists those too whose membership ended. "cairn members
set" changes the terms of one.`, statusRefused),
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
	cmd.AddCommand(newMembersSetCommand(a))
	return cmd
}

// memberOptions are the terms of a member as they are typed.
type memberOptions struct {
	quota, membership string
	introducer        bool
}

func newMembersSetCommand(a *app) *cobra.Command {
	o := &memberOptions{}
	cmd := &cobra.Command{
		Use:   "set MEMBER",
		Short: "change the terms of a member",
		Long: help(`Changes what a member may use, until when they are one, and whether they may invite others; what is not named stays as
it is. A membership that has expired is renewed. MEMBER is a nickname, an account key or the start of one ("cairn
members").

Only somebody closer to the grid's key than the member can do this: the founder for everybody, an introducer for those
whom they or theirs introduced. Whoever does it vouches for the member from then on.`, statusNotFound, statusRefused),
		Example: "  cairn members set sister --quota 50GB\n  cairn members set bert --introducer\n  cairn members set guest --membership 30d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := o.request(cmd)
			if err != nil {
				return err
			}
			request.Member = args[0]
			client, err := a.client()
			if err != nil {
				return about(err, "members set %s", args[0])
			}
			defer client.Close()
			member, err := client.SetMember(cmd.Context(), request)
			if err != nil {
				return err
			}
			return a.result(member, func(w io.Writer) { printMembers(w, []control.Member{member}) })
		},
	}
	cmd.Flags().StringVar(&o.quota, "quota", "", "`SIZE` that the member may store, all shares counted (0: by the grid's policy)")
	cmd.Flags().StringVar(&o.membership, "membership", "", "`DURATION` from now after which the membership ends (0: never)")
	cmd.Flags().BoolVar(&o.introducer, "introducer", false, "let the member invite and revoke others; --introducer=false ends that")
	return cmd
}

// request reads the flags that were given.
func (o *memberOptions) request(cmd *cobra.Command) (r control.MemberRequest, err error) {
	if !changes(cmd) {
		return r, usagef("members set: say what to change: --quota, --membership or --introducer")
	}
	if cmd.Flags().Changed("quota") {
		size, err := config.ParseSize(o.quota)
		if err != nil {
			return r, usagef("--quota: %w", err)
		}
		r.Quota = new(int64(size))
	}
	if cmd.Flags().Changed("membership") {
		duration, err := config.ParseDuration(o.membership)
		if err == nil && duration < 0 {
			err = fmt.Errorf("%s: want 0 or more", o.membership)
		}
		if err != nil {
			return r, usagef("--membership: %w", err)
		}
		r.Membership = &duration
	}
	if cmd.Flags().Changed("introducer") {
		r.Introducer = &o.introducer
	}
	return r, nil
}

func printMembers(w io.Writer, members []control.Member) {
	t := newTable(w, "NICKNAME", "ROLE", "DEVICES", "LENDS", "MAY USE", "USES HERE", "VOUCHED BY", "SINCE", "ACCOUNT")
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
		t.row(m.Nickname, role, devicesText(m), sizeText(m.Lends), may, sizeText(m.UsesHere), cmp.Or(m.GrantedBy, "the grid's key"),
			m.Since.Local().Format(time.DateOnly), fmt.Sprintf("%.8s", m.Account))
		switch {
		case m.Reason != "":
			t.note(m.Reason)
		case !m.Expires.IsZero():
			t.note("until " + m.Expires.Local().Format("2 January 2006 15:04"))
		}
	}
	t.end()
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
	var sure bool
	cmd := &cobra.Command{
		Use:   "revoke MEMBER",
		Short: "end somebody's membership, for good",
		Long: help(`Ends the membership of a person and of all devices of theirs, for good. MEMBER is a nickname, an account key or the
start of one ("cairn members"). The members whom the person vouched for stay, because you vouch for them from now
on, and so do those whom these let in; what is printed names them. --with-theirs ends the membership of all of them
too: on a terminal it lists them first and asks, unless --yes is given.

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
			if request.WithTheirs && !sure {
				if err := a.confirmRevoke(cmd.Context(), client, request); err != nil {
					return err
				}
			}
			revoked, err := client.Revoke(cmd.Context(), request)
			if err != nil {
				return err
			}
			return a.result(revoked, func(w io.Writer) { printRevoked(w, revoked) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "`TEXT` that all members can read")
	cmd.Flags().BoolVar(&request.WithTheirs, "with-theirs", false, "revoke also those whom the person let in, whom these let in, and so on")
	cmd.Flags().BoolVarP(&sure, "yes", "y", false, "do not ask")
	return cmd
}

// confirmRevoke lists whom a revocation would end the membership of, and asks, where there is somebody to ask.
func (a *app) confirmRevoke(ctx context.Context, client *control.Client, request control.RevokeRequest) error {
	if a.in == nil || !term.IsTerminal(int(a.in.Fd())) {
		return nil
	}
	request.Try = true
	would, err := client.Revoke(ctx, request)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "This ends for good the membership of %s (%.8s) and of:\n", would.Nickname, would.Account)
	others := 0
	for _, m := range would.Theirs {
		if m.State == "member" {
			others++
			fmt.Fprintf(a.err, "  %s (%.8s), let in by %s\n", m.Nickname, m.Account, cmp.Or(m.GrantedBy, "the grid's key"))
		}
	}
	if others == 0 {
		fmt.Fprintln(a.err, "  nobody else")
	}
	fmt.Fprint(a.err, "Revoke them? [y/N] ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err == nil && (answer == "y" || answer == "yes") {
		return nil
	}
	return withHint(errors.New("revoke: nobody was revoked"), "without --with-theirs only %s is, and you vouch for the others", would.Nickname)
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
