package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/node/config"
	"cairn/node/control"
)

// inviteOptions say whom to invite.
type inviteOptions struct {
	request        control.InviteRequest
	quota, expires string
	membership     string
	noQR           bool
}

func newInviteCommand(a *app) *cobra.Command {
	o := &inviteOptions{}
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "invite a friend to the grid",
		Long: help(`Makes an invitation and prints it as one line of text, and on a terminal as a QR code. The friend types "cairn
join" with that line, and is a member: nothing else is needed on either side. This node must be running when the
friend joins.

An invitation works once, or as often as --uses says, until it expires or is cancelled. Until then it is a secret:
hand it over as you would a key. Afterwards it is worth nothing, and tells nobody which grid it was for.`, statusRefused),
		Example: "  cairn invite --name sister\n  cairn invite --name school --uses 20 --quota 5GB --expires 2d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("name") && o.request.Nickname == "" {
				return usagef("--name: the nickname is empty; without --name the friend chooses")
			}
			return runInvite(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.request.Nickname, "name", "", "`NICKNAME` of the friend (default, and with --uses: as the friend likes)")
	flags.StringVar(&o.quota, "quota", "", "`SIZE` that the friend may store, all shares counted (0, and the default: by the grid's policy)")
	flags.IntVar(&o.request.Uses, "uses", 1, "how many people can join with it")
	flags.BoolVar(&o.request.Introducer, "introducer", false, "let the friend invite and revoke others")
	flags.StringVar(&o.membership, "membership", "", "`DURATION` after which the friend's membership ends (default: never)")
	o.addFlags(cmd)
	cmd.AddCommand(newInviteListCommand(a), newInviteCancelCommand(a))
	return cmd
}

func (o *inviteOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.expires, "expires", "7d", "`DURATION` for which the invitation works")
	cmd.Flags().BoolVar(&o.noQR, "no-qr", false, "draw no QR code")
}

func runInvite(ctx context.Context, a *app, o *inviteOptions) error {
	if err := o.parse(); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return about(err, "invite")
	}
	defer client.Close()
	made, err := client.Invite(ctx, o.request)
	if err != nil {
		return err
	}
	if !o.noQR && !a.json && a.terminal() {
		a.note("")
		// Capitals take a third less room in a QR code, and a terminal has 80 columns. Invitations are read in any case.
		if err := printQR(a.err, strings.ToUpper(made.Text)); err != nil {
			return err
		}
		a.note("")
	}
	err = a.result(made, func(w io.Writer) { fmt.Fprintln(w, made.Text) })
	who := "Your friend types:"
	if made.Device {
		who = "On the other device type:"
	}
	a.note("%s  cairn join INVITATION  with the line above. It works %s, until %s, while this node runs.",
		who, timesText(made.Uses), made.Expires.Local().Format("2 January 15:04"))
	return err
}

func (o *inviteOptions) parse() error {
	var err error
	if o.request.Valid, err = config.ParseDuration(o.expires); err == nil && o.request.Valid <= 0 {
		err = fmt.Errorf("%s: want more than nothing", o.expires)
	}
	if err != nil {
		return usagef("--expires: %w", err)
	}
	if o.membership != "" {
		if o.request.Membership, err = config.ParseDuration(o.membership); err == nil && o.request.Membership <= 0 {
			err = fmt.Errorf("%s: want more than nothing", o.membership)
		}
		if err != nil {
			return usagef("--membership: %w", err)
		}
	}
	if o.quota != "" {
		size, err := config.ParseSize(o.quota)
		if err != nil {
			return usagef("--quota: %w", err)
		}
		o.request.Quota = int64(size)
	}
	if o.request.Uses < 0 || o.request.Uses == 0 && !o.request.Device {
		return usagef("--uses %d: want at least 1", o.request.Uses)
	}
	if o.request.Uses > invite.MaxUses {
		return usagef("--uses %d: want at most %d", o.request.Uses, invite.MaxUses)
	}
	if o.request.Nickname != "" {
		if err := introducer.ValidNickname(o.request.Nickname); err != nil {
			return usagef("--name: %w", err)
		}
	}
	return nil
}

func timesText(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func newInviteListCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the invitations that still work",
		Long:  help("Lists the invitations that this node gave out and that can still be used. Their text is not kept.", statusRefused),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return about(err, "invite list")
			}
			defer client.Close()
			list, err := client.Invitations(cmd.Context())
			if err != nil {
				return err
			}
			shown := []control.Invitation{}
			for _, i := range list {
				if all || i.State == "open" {
					shown = append(shown, i)
				}
			}
			return a.result(shown, func(w io.Writer) { printInvitations(w, shown) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list also those that were used, cancelled or expired within a month")
	return cmd
}

func printInvitations(w io.Writer, list []control.Invitation) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no invitation is open")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tFOR\tSTATE\tUSES LEFT\tQUOTA\tEXPIRES")
	for _, i := range list {
		name, quota := i.Nickname, "by policy"
		switch {
		case i.Device:
			name = "a device of yours"
		case name == "":
			name = "anybody"
		}
		if i.Introducer {
			name += " (introducer)"
		}
		if i.Quota > 0 {
			quota = sizeText(i.Quota)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", i.ID, name, i.State, i.Uses, quota, i.Expires.Local().Format(time.DateTime))
	}
	table.Flush()
}

func newInviteCancelCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "make an invitation worthless",
		Long: help(`Makes an invitation worthless. ID is what "cairn invite list" shows. Who joined with it stays a member: see "cairn
revoke".`, statusNotFound, statusRefused),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return about(err, "invite cancel")
			}
			defer client.Close()
			cancelled, err := client.CancelInvitation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.result(cancelled, func(w io.Writer) { fmt.Fprintf(w, "cancelled invitation %s\n", cancelled.ID) })
		},
	}
}
