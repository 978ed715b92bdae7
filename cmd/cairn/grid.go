package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
)

func newGridCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grid",
		Short: "found, show and leave a grid",
		Long:  help("The grid that the node belongs to. A node belongs to one grid at a time."),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGridCreateCommand(a), newGridShowCommand(a), newGridSetCommand(a), newGridLeaveCommand(a))
	return cmd
}

// paramsFlags are the encoding parameters on a command line.
type paramsFlags struct{ needed, happy, total int }

func (p *paramsFlags) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&p.needed, "k", 0, "how many shares give a file back")
	flags.IntVar(&p.total, "n", 0, "how many shares are made")
	flags.IntVar(&p.happy, "happy", 0, "on how many servers shares must be for an upload to succeed")
}

// params completes the parameters with those of base. It returns zero when none was given.
func (p *paramsFlags) params(base share.Params) (share.Params, error) {
	if *p == (paramsFlags{}) {
		return share.Params{}, nil
	}
	got := share.Params{Needed: p.needed, Happy: p.happy, Total: p.total}
	if got.Needed == 0 {
		got.Needed = min(base.Needed, max(got.Total, got.Happy))
		if got.Total == 0 && got.Happy == 0 {
			got.Needed = base.Needed
		}
	}
	if got.Total == 0 {
		got.Total = max(base.Total, got.Needed, got.Happy)
	}
	if got.Happy == 0 {
		got.Happy = min(max(base.Happy, got.Needed), got.Total)
	}
	if err := got.Validate(); err != nil {
		return got, &usageError{err: err}
	}
	return got, nil
}

// fitting completes the parameters with those that the grid has now. It returns zero when none was given.
func (p *paramsFlags) fitting(ctx context.Context, current func(context.Context) (control.Grid, error)) (share.Params, error) {
	if *p == (paramsFlags{}) {
		return share.Params{}, nil
	}
	grid, err := current(ctx)
	if err != nil {
		return share.Params{}, err
	}
	return p.params(grid.Params)
}

func newGridCreateCommand(a *app) *cobra.Command {
	var f node.Founding
	o := &paramsFlags{}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "found a grid, of which this node is the first member",
		Long: help(`Founds a private grid: you are its first member and introducer, and others join with an invitation of yours ("cairn
invite"). The grid's key, which alone can revoke introducers, lies in this node's directory, and comes back with
your recovery phrase.

With --open, everybody may join who has the grid's address, store, and read what they have capabilities for. Files
stay encrypted in both kinds; what members can see is in the threat model.

--k, --happy and --n become the defaults of the grid. Without them the number of servers decides: 3-of-10, happy 7,
from ten servers on, and less for smaller grids.`),
		Example: "  cairn grid create \"river friends\"\n  cairn grid create home --open --k 2 --happy 3 --n 4",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f.Name = args[0]
			return runGridCreate(a, f, o)
		},
	}
	cmd.Flags().BoolVar(&f.Open, "open", false, "let everybody join who has the address")
	cmd.Flags().StringVar(&f.Nickname, "nickname", "", "`NAME` under which you are a member (default: the node's)")
	o.addFlags(cmd.Flags())
	return cmd
}

func runGridCreate(a *app, f node.Founding, o *paramsFlags) (err error) {
	if f.Params, err = o.params(share.DefaultParams(10)); err != nil {
		return err
	}
	if err := introducer.ValidName(f.Name); err != nil {
		return &usageError{err: fmt.Errorf("found grid: %w", err)}
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	if f.Nickname == "" {
		c, _, err := a.loadConfig(nil)
		if err != nil {
			return err
		}
		f.Nickname = c.Nickname
	}
	if err := introducer.ValidNickname(f.Nickname); err != nil && !f.Open {
		return withHint(&usageError{err: fmt.Errorf("found grid: %w", err)}, "name yourself with --nickname")
	}
	if _, err := dir.Found(f); err != nil {
		return err
	}
	shown, err := shownGrid(a, dir)
	if err != nil {
		return err
	}
	err = a.printGrid(shown)
	if f.Open {
		a.note("Everybody who has the address can join with it: cairn join ADDRESS")
		a.note("next: \"%s\" runs the node", a.command("up"))
		return err
	}
	if has, err := dir.HasPhrase(); err != nil || !has {
		a.note("The grid's key is in %s and nowhere else: back this directory up.", a.dir)
	} else {
		a.note("The grid's key is in %s, and comes back with your recovery phrase. \"%s\" prints what to keep on paper, best when friends have joined.",
			a.dir, a.command("account sheet"))
	}
	a.note("next: \"%s\" runs the node, then \"%s\" makes an invitation for a friend", a.command("up"), a.command("invite"))
	return err
}

func newGridShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "show the grid and its address",
		Long: help(`Shows the node's grid: its name, id, the encoding that its files get, and the address that others join it with.
The address of a running node says where it can be reached now.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err == nil {
				defer client.Close()
				var shown control.Grid
				if shown, err = client.Grid(cmd.Context()); err == nil {
					return a.printGrid(shown)
				}
			}
			if !errors.Is(err, control.ErrNotRunning) {
				return err
			}
			dir, err := node.Look(a.dir)
			if err != nil {
				return err
			}
			shown, err := shownGrid(a, dir)
			if err != nil {
				return err
			}
			return a.printGrid(shown)
		},
	}
}

// shownGrid describes the grid of a node that is not running.
func shownGrid(a *app, dir *node.Dir) (control.Grid, error) {
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return control.Grid{}, err
	}
	return dir.Describe(c)
}

func (a *app) printGrid(g control.Grid) error {
	return a.result(g, func(w io.Writer) {
		by := ""
		if g.BySize {
			by = " (by the number of servers)"
		}
		fmt.Fprintf(w, "name      %s\nid        %s\nencoding  %s%s\n", g.Name, g.ID, g.Params, by)
		if g.Open {
			fmt.Fprintf(w, "address   %s\n", g.Address)
			return
		}
		fmt.Fprintln(w, "access    by invitation")
		if g.Settings != nil {
			fmt.Fprintf(w, "members   %d\nlent      %s, %s free\npolicy    %s\n", g.Members, sizeText(g.Lent.Offered), sizeText(g.Lent.Free),
				policyText(*g.Settings))
		}
	})
}
