package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node/config"
	"cairn/node/control"
)

func newShareCommand(a *app) *cobra.Command {
	var request control.ShareRequest
	var expires string
	var noQR bool
	cmd := &cobra.Command{
		Use:   "share PATH|CAPABILITY",
		Short: "hand a file or a directory to a person",
		Long: help(`With --to it leaves a note in a member's inbox on the grid: the capability, a name and a message, sealed so that
only that member reads it. The member finds it with "cairn shares", also when this node is off by then. Without --to
it prints the capability as the last line, and on a terminal as a QR code, for you to hand over: whoever sees it has
the right.

The right is to read, and with --write to change as well. Of a directory it covers everything in it, now and later.
--expires ends the offer: who accepted it by then keeps it. Shared again with the same member, it is one note: its name
and message stay where none is given. "cairn unshare" takes the right back.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn share home:holiday --to sister --message \"the pictures\"\n  cairn share --write home:plans --to bert --expires 7d\n  cairn share home:holiday/film.mp4",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Target = args[0]
			if expires != "" {
				valid, err := config.ParseDuration(expires)
				if err == nil && valid <= 0 {
					err = fmt.Errorf("%s: want more than nothing", expires)
				}
				if err != nil {
					return usagef("--expires: %w", err)
				}
				request.Valid = valid
			}
			if request.To == "" && (request.Message != "" || request.Valid > 0 || request.Name != "") {
				return usagef("--name, --message and --expires belong to a note: name a member with --to")
			}
			return a.running("share", func(client *control.Client) error {
				made, err := client.Share(cmd.Context(), request)
				if err != nil {
					return err
				}
				return a.shared(made, noQR)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&request.Write, "write", "w", false, "give the right to change it too")
	flags.StringVar(&request.To, "to", "", "leave a note for that `MEMBER`")
	flags.StringVar(&request.Name, "name", "", "`NAME` under which it is offered (default: its own)")
	flags.StringVarP(&request.Message, "message", "m", "", "`TEXT` for the member")
	flags.StringVar(&expires, "expires", "", "`DURATION` after which the offer ends (default: never)")
	flags.BoolVar(&noQR, "no-qr", false, "draw no QR code")
	return cmd
}

// shared says what the receiver can do, and prints a capability that nobody was handed yet.
func (a *app) shared(made control.Share, noQR bool) error {
	if made.Capability == "" {
		err := a.result(made, func(w io.Writer) {
			fmt.Fprintf(w, "%s  %s for %s, to %s\n", made.ID[:8], made.Path, made.Member, made.Right)
		})
		a.note("%s", canDo(made, made.Member))
		return err
	}
	if !noQR && !a.json && a.terminal() {
		a.note("")
		if err := printQR(a.err, made.Capability); err != nil {
			return err
		}
		a.note("")
	}
	a.note("%s", canDo(made, "Whoever has the line below"))
	return a.result(made, func(w io.Writer) { fmt.Fprintln(w, made.Capability) })
}

// canDo says in a sentence what a right allows.
func canDo(s control.Share, who string) string {
	thing := "the file"
	if s.Type == control.TypeDirectory {
		thing = "everything in the directory, now and later"
	}
	switch {
	case s.Ended:
		return who + " can read it as it was when it was given new keys, and nothing can be changed in it. " + getKeys
	case s.Right == control.RightWrite:
		return who + " can read and change " + thing + "."
	}
	return who + " can read " + thing + ", and cannot change it."
}

func newSharesCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shares",
		Short: "what is shared with you, and what you share",
		Long: help(`Shows what other members share with you and what you share. What is new can be accepted, which links it into your
tree, or declined. What you accepted and is withdrawn stays in your tree, and shows nothing that was written since.`, statusNotEnough, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.running("shares", func(client *control.Client) error {
				list, err := client.Shares(cmd.Context())
				if err != nil {
					return err
				}
				err = a.result(list, func(w io.Writer) { printShares(w, list) })
				for _, problem := range list.Problems {
					a.note("%s", visible(problem))
				}
				return err
			})
		},
	}
	cmd.AddCommand(newAcceptCommand(a), newDeclineCommand(a))
	return cmd
}

func printShares(w io.Writer, list control.Shares) {
	if len(list.Received)+len(list.Given) == 0 {
		fmt.Fprintln(w, "nothing is shared with you, and you share nothing")
		return
	}
	if len(list.Received) > 0 {
		t := newTable(w, "ID", "FROM", "STATE", "RIGHT", "TYPE", "SENT", "NAME", "PATH")
		for _, s := range list.Received {
			t.row(s.ID[:8], otherOf(s), stateOf(s), s.Right, s.Type, dayOf(s), visible(s.Name), visible(s.Path))
			if s.Message != "" {
				t.note(visible(s.Message))
			}
		}
		t.end()
	}
	if len(list.Given) == 0 {
		return
	}
	if len(list.Received) > 0 {
		fmt.Fprintln(w)
	}
	t := newTable(w, "ID", "TO", "STATE", "RIGHT", "TYPE", "SENT", "PATH")
	for _, s := range list.Given {
		t.row(s.ID[:8], otherOf(s), stateOf(s), s.Right, s.Type, dayOf(s), visible(s.Path))
	}
	t.end()
}

func otherOf(s control.Share) string {
	switch {
	case s.Member != "":
		return s.Member
	case s.Account != "":
		return fmt.Sprintf("%.8s", s.Account)
	}
	return "who has the capability"
}

func stateOf(s control.Share) string {
	switch {
	case s.State == control.ShareEnding:
		return "ending: run unshare again"
	case !s.Expires.IsZero() && (s.State == control.ShareNew || s.State == control.ShareOpen):
		return s.State + " until " + s.Expires.Local().Format("2006-01-02 15:04")
	}
	return s.State
}

func dayOf(s control.Share) string { return s.Sent.Local().Format("2006-01-02") }

func newAcceptCommand(a *app) *cobra.Command {
	var request control.AcceptRequest
	return &cobra.Command{
		Use:   "accept ID [PATH]",
		Short: "link what is shared with you into your tree",
		Long: help(`Links what a member offers into your tree, at PATH, or else as home:shared/MEMBER/NAME, with a number behind it
where that name is taken. ID is the start of what "cairn shares" shows. It prints the path.`, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn shares accept 4k2fq7ab\n  cairn shares accept 4k2fq7ab home:pictures/from-sister",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.ID = args[0]
			if len(args) > 1 {
				request.Target = args[1]
			}
			return a.running("shares", func(client *control.Client) error {
				s, err := client.AcceptShare(cmd.Context(), request)
				if err != nil {
					return err
				}
				err = a.result(s, func(w io.Writer) { fmt.Fprintln(w, visible(s.Path)) })
				a.note("%s", canDo(s, "You"))
				return err
			})
		},
	}
}

func newDeclineCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "decline ID",
		Short: "say that you do not want what is offered",
		Long:  help(`Marks what a member offers as not wanted. The member is not told. It can still be accepted while the offer stands.`, statusNotFound, statusNotEnough, statusRefused),
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("shares", func(client *control.Client) error {
				s, err := client.DeclineShare(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.result(s, func(io.Writer) {})
			})
		},
	}
}

func newUnshareCommand(a *app) *cobra.Command {
	var request control.UnshareRequest
	cmd := &cobra.Command{
		Use:   "unshare PATH",
		Short: "take back what you shared",
		Long: help(`Takes back what was shared, from one member or from all. The note is withdrawn. A directory, with everything in it
that can change, gets new keys: it is copied under them, without its files that never change, and the path leads to
the copy. Those with whom it is still shared are handed the new keys. Whoever had the old ones sees nothing that is
written from now on.

What was read cannot be taken back: what it prints at the end says what remains. The history of a directory begins
anew with its keys. A command that was interrupted leaves everything readable; run it again.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn unshare home:holiday --to bert\n  cairn unshare home:plans",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Target = args[0]
			return a.running("unshare", func(client *control.Client) error {
				done, err := client.Unshare(cmd.Context(), request, nil)
				if err != nil {
					return err
				}
				return a.result(done, func(w io.Writer) { a.printUnshared(w, done) })
			})
		},
	}
	cmd.Flags().StringVar(&request.To, "to", "", "take it back from that `MEMBER` only")
	return cmd
}

func (a *app) printUnshared(w io.Writer, done control.Unshared) {
	for _, s := range done.Withdrawn {
		fmt.Fprintf(w, "%s is no longer shared with %s\n", visible(s.Path), otherOf(s))
	}
	if done.Rotated {
		fmt.Fprintf(w, "%s has new keys: %s and %s that change were made anew\n", visible(done.Path), directoriesText(done.Directories), counted(int64(done.Files), "file"))
	}
	for _, s := range done.Renewed {
		if s.Account == "" {
			fmt.Fprintf(w, "the capability of %s that you handed out opens the old keys only: hand over a new one (\"%s\")\n", visible(s.Path), a.command("share"))
			continue
		}
		fmt.Fprintf(w, "%s still has %s, and was handed the new keys\n", otherOf(s), visible(s.Path))
	}
	for _, text := range done.Remains {
		fmt.Fprintf(w, "what remains: %s\n", text)
	}
}
