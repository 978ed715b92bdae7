package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
)

// joinOptions say how to join.
type joinOptions struct {
	initOptions
	start, noStart, detach bool
}

func newJoinCommand(a *app) *cobra.Command {
	o := &joinOptions{}
	cmd := &cobra.Command{
		Use:   "join INVITATION",
		Short: "join a grid with an invitation",
		Long: help(`Joins a grid. INVITATION is the line that "cairn invite" printed for you, or, to pair a second device of yours,
"cairn device add". An open grid is joined with its address, which "cairn grid show" prints on any of its nodes.

Where there is no node yet, one is made, joined and run, like "cairn init", "cairn join" and "cairn up" in one:
this is all that a friend has to type. A node that exists already only joins; run it with "cairn up". --start and
--no-start say otherwise.

The invitation can also be read from standard input: "cairn join -".`, statusRefused),
		Example: "  cairn join cairn-invite:ujaxq...",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !o.detach && !o.noStart {
				relax(cmd.Context())
			}
			return runJoin(cmd, a, o, args[0])
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.start, "start", false, "run the node afterwards, also one that existed before")
	cmd.Flags().BoolVar(&o.noStart, "no-start", false, "do not run the node afterwards")
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "run the node afterwards in the background")
	cmd.MarkFlagsMutuallyExclusive("start", "no-start")
	cmd.MarkFlagsMutuallyExclusive("detach", "no-start")
	return cmd
}

func runJoin(cmd *cobra.Command, a *app, o *joinOptions, text string) error {
	text, err := a.invitationText(text)
	if err != nil {
		return err
	}
	join := a.joinOpen
	if !strings.HasPrefix(text, introducer.Prefix) {
		invitation, err := invite.Parse(text)
		if err != nil {
			return withHint(about(err, "join"), "copy the whole line that \"invite\" printed, it starts with %s", invite.Prefix)
		}
		if err := invitation.Usable(time.Now()); err != nil {
			return a.explainJoin(about(err, "join"))
		}
		join = a.joinInvited
	} else if _, err := introducer.ParseAddress(text); err != nil {
		return withHint(about(err, "join"), "copy the whole line that \"grid show\" prints, it starts with %s", introducer.Prefix)
	}
	dir, made, err := a.openOrMake(cmd.Context(), o)
	if err != nil {
		return err
	}
	if err := join(cmd.Context(), dir, text, made && o.nickname == ""); err != nil {
		return err
	}
	if err := a.showPhrase(dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(a.dir, joiningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	a.note("%s", shares(c))
	if !o.start && !o.detach && (o.noStart || !made) {
		a.note("next: \"%s\" runs the node", a.command("up"))
		return nil
	}
	return runUp(cmd.Context(), a, &upOptions{detach: o.detach})
}

// maxInvitation bounds what is read in place of an invitation, in bytes.
const maxInvitation = 64 << 10

// invitationText returns the text of an invitation, which may come on standard input. People break long lines.
func (a *app) invitationText(text string) (string, error) {
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(a.in, maxInvitation))
		if err != nil {
			return "", about(err, "join: standard input")
		}
		text = string(data)
	}
	return strings.TrimSpace(text), nil
}

// joinOpen joins an open grid with its address.
func (a *app) joinOpen(_ context.Context, dir *node.Dir, text string, _ bool) error {
	address, err := introducer.ParseAddress(text)
	if err != nil {
		return err
	}
	if err := dir.Join(address); err != nil {
		return err
	}
	result := struct {
		control.GridName
		Phrase string `json:"phrase,omitempty"`
	}{GridName: control.GridName{Name: address.Grid.Name, ID: address.Grid.ID()}}
	if result.Phrase, err = a.takePhrase(dir); err != nil {
		return err
	}
	return a.resultWithPhrase(dir, result.Phrase, result, func(w io.Writer) { fmt.Fprintf(w, "joined grid %s\n", address.Grid) })
}

// resultWithPhrase prints a result that may have a new node's phrase in it, which was shown then.
func (a *app) resultWithPhrase(dir *node.Dir, phrase string, value any, human func(io.Writer)) error {
	if err := a.result(value, human); err != nil || phrase == "" {
		return err
	}
	return dir.ForgetPhrase()
}

// joinInvited joins a private grid with an invitation, and says what was agreed. A node that nobody named is called from
// then on what the invitation calls its person.
func (a *app) joinInvited(ctx context.Context, dir *node.Dir, text string, nameless bool) error {
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	joined, err := dir.JoinInvitation(ctx, text, c.Nickname)
	if err != nil {
		return a.explainJoin(err)
	}
	if nameless && !joined.Device {
		if err := a.changeSetting("nickname", joined.Member.Nickname); err != nil {
			return err
		}
	}
	result := struct {
		control.GridName
		Member     string `json:"member"`
		Account    string `json:"account"`
		Introducer bool   `json:"introducer"`
		Quota      int64  `json:"quota"`
		Phrase     string `json:"phrase,omitempty"`
	}{
		GridName: control.GridName{Name: joined.Grid.Name, ID: joined.Grid.ID()}, Member: joined.Member.Nickname,
		Account: joined.Member.Account.String(), Introducer: joined.Member.Introducer, Quota: joined.Member.Quota,
	}
	if result.Phrase, err = a.takePhrase(dir); err != nil {
		return err
	}
	err = a.resultWithPhrase(dir, result.Phrase, result, func(w io.Writer) {
		fmt.Fprintf(w, "joined grid %s as %s\n", joined.Grid, joined.Member.Nickname)
	})
	if joined.Device {
		a.note("This node belongs to %s now, like the one that invited it.", joined.Member.Nickname)
	}
	a.note("%s", allowance(joined))
	if !joined.Member.Expires.IsZero() {
		a.note("The membership ends on %s, unless it is renewed.", joined.Member.Expires.Local().Format("2 January 2006"))
	}
	if joined.Member.Introducer {
		a.note("You may invite others: \"%s\".", a.command("invite"))
	}
	return err
}

// allowance says what the new member may use.
func allowance(joined node.Joined) string {
	policy := joined.Settings.Policy
	switch {
	case joined.Member.Quota > 0:
		return fmt.Sprintf("You may store %s on the others' disks, all shares counted.", sizeText(joined.Member.Quota))
	case policy.Kind == introducer.Unlimited:
		return "You may store whatever there is room for."
	case policy.Kind == introducer.Fixed:
		return fmt.Sprintf("You may store %s on the others' disks, all shares counted.", sizeText(policy.Quota))
	}
	return fmt.Sprintf("You may store as much as %d %% of what you lend, and at least %s, all shares counted.", policy.Percent, sizeText(policy.Floor))
}

// explainJoin adds the next step to the reason why somebody was not let in.
func (a *app) explainJoin(err error) error {
	refused, _ := errors.AsType[*invite.RefusedError](err)
	switch {
	case refused != nil && refused.Refusal == invite.RefusalAuthority:
		return withHint(err, "ask another introducer of the grid for an invitation: whoever gave this one may have been revoked")
	case refused != nil && refused.Refusal == invite.RefusalRevoked:
		return withHint(err, "join with a new node, which has a new account: \"cairn --dir DIR join INVITATION\" with another directory")
	case errors.Is(err, introducer.ErrNicknameTaken), refused != nil && refused.Refusal == invite.RefusalNickname:
		return withHint(err, "choose another nickname, \"%s\", and join again", a.command("config set nickname NAME"))
	case errors.Is(err, invite.ErrExpired), errors.Is(err, invite.ErrNotValid):
		return withHint(err, "ask for a new invitation; each works once unless it says otherwise")
	case errors.Is(err, share.ErrUnavailable):
		return withHint(err, "the node that gave the invitation must be running and reachable: ask your friend, and try again")
	case errors.Is(err, node.ErrHasGrid):
		return withHint(err, "leave it first: \"%s\"; or use another directory with --dir", a.command("grid leave"))
	}
	return err
}

// joiningFile marks a node that a join made and that has not joined yet: when the join is repeated, it is still the first.
const joiningFile = "joining"

// openOrMake opens the node of the directory and makes it where there is none.
func (a *app) openOrMake(ctx context.Context, o *joinOptions) (dir *node.Dir, made bool, err error) {
	mark := filepath.Join(a.dir, joiningFile)
	if node.Exists(a.dir) {
		_, unfinished := os.Stat(mark)
		dir, err = a.openDir()
		return dir, unfinished == nil, err
	}
	if dir, _, err = a.initialise(ctx, &o.initOptions, nil); err == nil {
		err = os.WriteFile(mark, nil, 0o600)
	}
	if err == nil {
		a.note("made a node in %s", a.dir)
	}
	return dir, true, err
}
