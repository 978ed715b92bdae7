package main

import (
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
	cmd.AddCommand(newGridCreateCommand(a), newGridShowCommand(a), newGridLeaveCommand(a))
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

func newGridCreateCommand(a *app) *cobra.Command {
	var open bool
	o := &paramsFlags{}
	cmd := &cobra.Command{
		Use:   "create NAME --open",
		Short: "found a grid, of which this node is the first member",
		Long: help(`Founds a grid and prints its address. With --open, everybody who has the address may join, store and read what
they have capabilities for. Files stay encrypted; what members can see is in the threat model.

--k, --happy and --n become the defaults of the grid. Without them the number of servers decides: 3-of-10, happy 7,
from ten servers on, and less for smaller grids.`),
		Example: "  cairn grid create \"river friends\" --open\n  cairn grid create home --open --k 2 --happy 3 --n 4",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return runGridCreate(a, args[0], open, o)
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "let everybody join who has the address")
	o.addFlags(cmd.Flags())
	return cmd
}

func runGridCreate(a *app, name string, open bool, o *paramsFlags) error {
	if !open {
		return withHint(usagef("found grid %q: private grids with invitations are not in this version", name),
			"an open grid, which everybody may join who has its address: %s", a.command(fmt.Sprintf("grid create %q --open", name)))
	}
	params, err := o.params(share.DefaultParams(10))
	if err != nil {
		return err
	}
	if err := introducer.ValidName(name); err != nil {
		return &usageError{err: fmt.Errorf("found grid: %w", err)}
	}
	dir, err := node.OpenDir(a.dir)
	if err != nil {
		return err
	}
	if _, err := dir.Found(name, params); err != nil {
		return err
	}
	shown, err := shownGrid(a, dir)
	if err != nil {
		return err
	}
	err = a.printGrid(shown)
	a.note("Everybody who has the address can join with \"cairn join ADDRESS\".")
	a.note("next: \"%s\" runs the node", a.command("up"))
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
			dir, err := node.OpenDir(a.dir)
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
		fmt.Fprintf(w, "name      %s\nid        %s\nencoding  %s%s\naddress   %s\n", g.Name, g.ID, g.Params, by, g.Address)
	})
}

func newGridLeaveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "leave the grid",
		Long: help(`Makes the node belong to no grid. It must not be running. Shares that it holds stay on the disk; if it joins the same
grid again, it serves them again.`),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := node.OpenDir(a.dir)
			if err != nil {
				return err
			}
			left, err := dir.Leave()
			if err != nil {
				return err
			}
			return a.result(control.GridName{Name: left.Name, ID: left.ID()}, func(w io.Writer) {
				fmt.Fprintf(w, "left grid %s\n", left)
			})
		},
	}
}
