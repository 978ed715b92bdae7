package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cairn/internal/awake"
	"cairn/node"
	"cairn/node/control"
)

const (
	// stopWithin is how long a node may take to stop before somebody should look after it.
	stopWithin = time.Minute
	// answerWithin is how long a node may take to answer a short question before it counts as hung.
	answerWithin = 5 * time.Second
)

func newStopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "stop the running node",
		Long: help(`Stops the running node in order and returns when it has ended, however it was started. What it was doing for other
commands ends with an error; nothing that was acknowledged is lost. A service manager does not start it again until
it is told to.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStop(cmd.Context(), a) },
	}
}

func runStop(ctx context.Context, a *app) error {
	if !node.Exists(a.dir) {
		return about(node.ErrNoNode, "%s", a.dir)
	}
	pid, running, err := node.Running(a.dir)
	if err != nil {
		return err
	}
	if !running {
		return withHint(control.ErrNotRunning, "there is nothing to stop")
	}
	if err := awaitStop(ctx, a, pid); err != nil {
		return err
	}
	return a.result(map[string]int{"pid": pid}, func(w io.Writer) { fmt.Fprintln(w, "stopped") })
}

// askToStop asks the node to stop. One that is starting or stopping does not listen, and is asked again.
func askToStop(ctx context.Context, a *app) error {
	ctx, cancel := awake.WithTimeout(ctx, answerWithin)
	defer cancel()
	client, err := a.client()
	if err == nil {
		defer client.Close()
		err = client.Shutdown(ctx)
	}
	switch {
	case errors.Is(err, control.ErrNotRunning):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it does not answer within %v", answerWithin)
	}
	return err
}

// awaitStop stops the node and waits until no process has the directory.
func awaitStop(ctx context.Context, a *app, pid int) error {
	limit := awake.NewTimer(stopWithin)
	defer limit.Stop()
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	var asked error
	for {
		if _, running, err := node.Running(a.dir); err != nil || !running {
			return err
		}
		asked = askToStop(ctx, a)
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return withHint(errors.Join(fmt.Errorf("the node (process %d) has not ended after %v", pid, stopWithin), asked),
				"see its log; killing the process loses nothing that was acknowledged")
		}
	}
}
