package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/introducer/recovery"
	"cairn/node"
	"cairn/node/account"
	"cairn/node/control"
	"cairn/share"
)

// recoverOptions say how to come back.
type recoverOptions struct {
	initOptions
	from          phraseOptions
	sheet, grid   string
	start, detach bool
}

func newRecoverCommand(a *app) *cobra.Command {
	o := &recoverOptions{}
	cmd := &cobra.Command{
		Use:   "recover [MEMBER...]",
		Short: "come back on a new machine, with the recovery phrase",
		Long: help(`Makes a node on this machine that belongs to the person whose recovery phrase you have, and takes it back into the
grid: membership, quota and authority, the key of the root directory, from which all that is in it follows, and the
key of a grid that you founded. Your files are on the others' disks; nothing has to be copied.

MEMBER says whom to ask, any member that runs will do: its address as on the recovery sheet (/ip4/.../p2p/...), a
grid's address (cairn-grid:...), or an invitation, which is not used up. Several are asked in turn. --sheet FILE
reads a sheet as a file, as text or as a page, or what its square code says; a phrase on it is used.

The phrase is typed on the terminal, where it is not shown, or comes from --phrase-file. It never leaves this
machine: the member gets a signature.

Run again after a failure it goes on with the node that it made. Where the member knows no account of these words the
node is removed again, unless it keeps its shares in a bucket.`, statusNotFound, statusRefused),
		Example: "  cairn recover /ip4/203.0.113.7/tcp/4001/p2p/12D3KooW...\n  cairn recover --sheet sheet.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.start && !o.detach {
				relax(cmd.Context())
			}
			return runRecover(cmd.Context(), a, o, args)
		},
	}
	o.addFlags(cmd.Flags())
	o.from.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.sheet, "sheet", "", "`FILE` with a recovery sheet, or what its square code says, - for standard input")
	cmd.Flags().StringVar(&o.grid, "grid", "", "`ID` of the grid to come back to; members of another one are not believed")
	cmd.Flags().BoolVar(&o.start, "start", false, "run the node afterwards")
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "run the node afterwards in the background")
	return cmd
}

// A place is where to come back to.
type place struct {
	open      *introducer.Address // an open grid
	addresses []string            // of members of a private one
	grid      string              // its id, empty where it is not known
	phrase    string              // on the sheet, empty where there is none
}

func runRecover(ctx context.Context, a *app, o *recoverOptions, args []string) error {
	where, err := a.place(o, args)
	if err != nil {
		return about(err, "recover")
	}
	first := !node.Exists(a.dir)
	dir, err := a.recoveredDir(ctx, o, where)
	if err != nil {
		return err
	}
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	var got node.Recovered
	if where.open != nil {
		got, err = dir.RecoverOpen(*where.open)
	} else {
		got, err = dir.Recover(ctx, where.addresses, where.grid, c.Nickname)
	}
	if err != nil {
		if first && !c.Storage.Bucket() && errors.Is(err, recovery.ErrUnknown) {
			err = errors.Join(err, a.unmake(dir))
		}
		return a.explainRecover(err)
	}
	if err := a.reportRecovered(got); err != nil {
		return err
	}
	if o.start || o.detach {
		return runUp(ctx, a, &upOptions{detach: o.detach})
	}
	a.note("next: \"%s\" runs the node", a.command("up"))
	return nil
}

// place finds out whom to ask, from the arguments and the sheet.
func (a *app) place(o *recoverOptions, args []string) (place, error) {
	clues := account.ReadClues(strings.Join(args, "\n\n"))
	if clues.Phrase != "" {
		return place{}, withHint(usagef("a recovery phrase does not belong on the command line, which the shell keeps and others on the machine see"),
			"leave it out: it is asked for, or name a file that holds it with --phrase-file")
	}
	if o.sheet != "" {
		sheet, err := a.readText(o.sheet, maxClues)
		if err != nil {
			return place{}, about(err, "sheet %s", o.sheet)
		}
		clues = clues.With(account.ReadClues(sheet))
	}
	where := place{addresses: clues.Addresses, grid: o.grid, phrase: clues.Phrase}
	if err := introducer.CheckPeers(where.addresses); err != nil {
		return place{}, &usageError{err: err}
	}
	for _, grid := range clues.Grids {
		address, err := introducer.ParseAddress(grid)
		if err != nil {
			return place{}, withHint(err, "copy the whole address, it starts with %s; the address of any member does as well", introducer.Prefix)
		}
		if address.Grid.Open {
			where.open = &address
			return where, nil
		}
		where.addresses = append(where.addresses, address.Bootstrap...)
		if where.grid == "" {
			where.grid = address.Grid.ID()
		}
	}
	for _, invitation := range clues.Invitations {
		i, err := invite.Parse(invitation)
		if err != nil {
			return place{}, withHint(err, "copy the whole line that \"invite\" printed, it starts with %s", invite.Prefix)
		}
		where.addresses = append(where.addresses, i.Addresses...)
	}
	if len(where.addresses) == 0 {
		return place{}, withHint(usagef("nobody to ask: no address of a member is given"),
			"give one of your recovery sheet, or ask a friend for an invitation: \"%s\"", a.command("recover MEMBER"))
	}
	return where, nil
}

// recoveredDir makes the node of the phrase, or opens the one that an attempt before made.
func (a *app) recoveredDir(ctx context.Context, o *recoverOptions, where place) (*node.Dir, error) {
	var there *node.Dir
	if node.Exists(a.dir) {
		var err error
		if there, err = a.openDir(); err != nil {
			return nil, err
		}
		if grid, err := there.Grid(); err == nil {
			return nil, withHint(fmt.Errorf("recover in %s: %w, %s", a.dir, node.ErrHasGrid, grid.Grid),
				"recover in another directory with --dir, or leave the grid first: \"%s\"", a.command("grid leave"))
		}
	}
	phrase, err := a.phraseOf(o, where)
	if err != nil {
		return nil, err
	}
	if there == nil {
		dir, _, err := a.initialise(ctx, &o.initOptions, &phrase)
		if err == nil {
			a.note("made a node in %s", a.dir)
		}
		return dir, err
	}
	if err := matches(there, phrase); errors.Is(err, errOtherPhrase) {
		return nil, withHint(fmt.Errorf("recover in %s: the node there belongs to another account: %w", a.dir, share.ErrDenied),
			"if the words before were the wrong ones, move %s away, whose node belongs to no grid; or recover in another directory with --dir", a.dir)
	} else if err != nil {
		return nil, err
	}
	return there, nil
}

// unmake removes a node that this command made of words that nobody knows, so that it can be run again with the right ones.
func (a *app) unmake(dir *node.Dir) error {
	err := dir.Unmake()
	if err == nil {
		a.note("removed the node in %s again", a.dir)
	}
	return err
}

// phraseOf returns the phrase that is on the sheet, in a file, or typed.
func (a *app) phraseOf(o *recoverOptions, where place) (account.Phrase, error) {
	if where.phrase != "" && o.from.file == "" {
		p, err := account.ParsePhrase(where.phrase)
		return p, explainPhrase(err)
	}
	return a.phrase(o.from)
}

func (a *app) reportRecovered(got node.Recovered) error {
	type device struct {
		Name string `json:"name"`
		ID   string `json:"id"`
	}
	devices := []device{}
	for _, d := range got.Member.Devices {
		if d.ID != got.Node {
			devices = append(devices, device{d.Name, string(d.ID)})
		}
	}
	result := struct {
		control.GridName
		Member     string   `json:"member"`
		Introducer bool     `json:"introducer"`
		Quota      int64    `json:"quota"`
		Founder    bool     `json:"founder"`
		Node       string   `json:"node"`
		Devices    []device `json:"other_devices"`
	}{
		GridName: control.GridName{Name: got.Grid.Name, ID: got.Grid.ID()}, Member: got.Member.Nickname, Introducer: got.Member.Introducer,
		Quota: got.Member.Quota, Founder: got.Founder, Node: string(got.Node), Devices: devices,
	}
	err := a.result(result, func(w io.Writer) {
		fmt.Fprintf(w, "back in grid %s", got.Grid)
		if got.Member.Nickname != "" {
			fmt.Fprintf(w, " as %s", got.Member.Nickname)
		}
		fmt.Fprintln(w)
	})
	a.note("What came back: the account, the key of the root directory, the secret that equal files depend on.")
	if got.Member.Introducer {
		a.note("You are an introducer: \"%s\" invites others.", a.command("invite"))
	}
	if got.Founder {
		a.note("You founded this grid: its key came back too.")
	}
	if len(devices) > 0 {
		names := make([]string, len(devices))
		for i, d := range devices {
			names[i] = d.Name
		}
		a.note("Other devices of yours: %s. One that is lost: \"%s\".", strings.Join(names, ", "), a.command("device remove DEVICE"))
	}
	return err
}

// explainRecover adds the next step to the reason why somebody is not back.
func (a *app) explainRecover(err error) error {
	_, refused := errors.AsType[*recovery.RefusedError](err)
	switch {
	case errors.Is(err, recovery.ErrUnknown):
		return withHint(err, "ask a member of the grid that you belonged to; or the words are those of another account: run it again with the right ones")
	case errors.Is(err, recovery.ErrOtherGrid):
		return withHint(err, "give the address of a member of the grid on your sheet, or leave --grid out")
	case refused:
		return withHint(err, "ask an introducer of the grid; with an invitation you join anew as another account, in another directory (--dir)")
	case errors.Is(err, share.ErrVersion):
		return withHint(err, "the member runs a version that cannot let you back in; ask another one")
	case errors.Is(err, share.ErrTooLarge):
		return withHint(err, "remove one on a device of yours, or have an introducer revoke the account and invite you anew")
	case errors.Is(err, share.ErrUnavailable):
		return withHint(err, "one of the members has to run and be reachable: ask a friend for an invitation, and run \"%s\"", a.command("recover INVITATION"))
	}
	return err
}
