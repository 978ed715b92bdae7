package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/control"
)

// joinOptions say how to join.
type joinOptions struct {
	initOptions
	start, noStart bool
}

func newJoinCommand(a *app) *cobra.Command {
	o := &joinOptions{}
	cmd := &cobra.Command{
		Use:   "join ADDRESS",
		Short: "join the grid with this address",
		Long: help(`Joins an open grid. ADDRESS is what "cairn grid show" prints on any of its nodes.

Where there is no node yet, one is made, joined and run, like "cairn init", "cairn join" and "cairn up" in one: this is
all that a friend has to type. A node that exists already only joins; run it with "cairn up". --start and --no-start
say otherwise.`),
		Example: "  cairn join cairn-grid:ujaxq...",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runJoin(cmd, a, o, args[0])
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.start, "start", false, "run the node afterwards, also one that existed before")
	cmd.Flags().BoolVar(&o.noStart, "no-start", false, "do not run the node afterwards")
	cmd.MarkFlagsMutuallyExclusive("start", "no-start")
	return cmd
}

func runJoin(cmd *cobra.Command, a *app, o *joinOptions, text string) error {
	address, err := introducer.ParseAddress(text)
	if err != nil {
		return withHint(about(err, "join"), "copy the whole line that \"cairn grid show\" prints, it starts with %s", introducer.Prefix)
	}
	dir, made, err := a.openOrMake(o)
	if err != nil {
		return err
	}
	if err := dir.Join(address); err != nil {
		return err
	}
	err = a.result(control.GridName{Name: address.Grid.Name, ID: address.Grid.ID()}, func(w io.Writer) {
		fmt.Fprintf(w, "joined grid %s\n", address.Grid)
	})
	if err != nil {
		return err
	}
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return err
	}
	a.note("%s", shares(c))
	if !o.start && (o.noStart || !made) {
		a.note("next: \"%s\" runs the node", a.command("up"))
		return nil
	}
	return runUp(cmd.Context(), a, &upOptions{})
}

// openOrMake opens the node of the directory and makes it where there is none.
func (a *app) openOrMake(o *joinOptions) (dir *node.Dir, made bool, err error) {
	if node.Exists(a.dir) {
		dir, err = node.OpenDir(a.dir)
		return dir, false, err
	}
	quiet := *a
	quiet.out, quiet.quiet = io.Discard, true
	dir, err = quiet.initialise(&o.initOptions)
	if err == nil {
		a.note("made a node in %s; its keys are there and nowhere else: back this directory up", a.dir)
	}
	return dir, true, err
}
