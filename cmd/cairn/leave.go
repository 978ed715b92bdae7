package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/control"
)

func newGridLeaveCommand(a *app) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "leave the grid",
		Long: help(`Makes the node belong to no grid. The running node first hands its shares to others, so that no file of your
friends is worse off, has the members forget it, and stops. Interrupted, it goes on where it stopped when it is run
again.

With --now nothing is handed over, and the node need not run: your friends' repairs make the shares anew as long as
enough others are there. The shares stay on the disk; if the node joins the same grid again, it serves them again.`, statusNotEnough),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGridLeave(cmd.Context(), a, now) },
	}
	cmd.Flags().BoolVar(&now, "now", false, "hand nothing over")
	return cmd
}

func runGridLeave(ctx context.Context, a *app, now bool) error {
	dir, err := node.Look(a.dir)
	if err != nil {
		return err
	}
	if _, err := dir.Grid(); errors.Is(err, node.ErrNoGrid) {
		return err
	}
	report, err := a.handOver(ctx, now)
	if err != nil {
		return err
	}
	if pid, running, err := node.Running(a.dir); err != nil || running {
		if err == nil {
			err = awaitStop(ctx, a, pid)
		}
		if err != nil {
			return err
		}
	}
	left, err := dir.Leave()
	if err != nil {
		return err
	}
	result := struct {
		control.GridName
		control.LeaveReport
	}{control.GridName{Name: left.Name, ID: left.ID()}, report}
	return a.result(result, func(w io.Writer) {
		if report.Moved > 0 {
			fmt.Fprintf(w, "handed over %d shares of %d files\n", report.Moved, report.Files)
		}
		fmt.Fprintf(w, "left grid %s\n", left)
	})
}

// handOver has the running node hand its shares to others.
func (a *app) handOver(ctx context.Context, now bool) (control.LeaveReport, error) {
	client, err := a.client()
	if errors.Is(err, control.ErrNotRunning) {
		if now {
			return control.LeaveReport{}, nil
		}
		return control.LeaveReport{}, withHint(about(err, "leave the grid: its shares cannot be handed to others"),
			"run it with \"%s\", or leave without with \"%s\"", a.command("up"), a.command("grid leave --now"))
	}
	if err != nil {
		return control.LeaveReport{}, err
	}
	defer client.Close()
	bar := a.progress()
	defer bar.done()
	return client.Leave(ctx, now, bar.show)
}
