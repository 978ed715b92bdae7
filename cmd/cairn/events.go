package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

// eventsOptions say which events to show.
type eventsOptions struct {
	follow bool
	after  uint64
	kinds  []string
}

func newEventsCommand(a *app) *cobra.Command {
	o := &eventsOptions{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "show what happened",
		Long: help(`Shows what happened at the running node since it started: peers that came, went or were refused, files that were
stored or repaired, shares that were damaged. The node keeps the latest thousand events; its log goes back further.

With --follow it goes on until it is interrupted. With --json every event is one line of JSON.`),
		Example: "  cairn events --follow\n  cairn events --json --kind peer.,share.quarantined",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runEvents(cmd.Context(), a, o) },
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().Uint64Var(&o.after, "after", 0, "leave out the events up to that `NUMBER` (seq of --json)")
	cmd.Flags().StringSliceVar(&o.kinds, "kind", nil, "`KIND`s to show, or beginnings of kinds, such as peer.")
	return cmd
}

func runEvents(ctx context.Context, a *app, o *eventsOptions) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	last, shown := o.after, false
	err = client.Events(ctx, control.EventsRequest{After: o.after, Follow: o.follow}, func(e control.Event) error {
		if e.Seq > last+1 {
			a.note("%d events are no longer kept", e.Seq-last-1)
		}
		last = e.Seq
		if !o.wants(e.Kind) {
			return nil
		}
		shown = true
		return a.printEvent(e)
	})
	if err == nil && !shown {
		a.note("nothing happened yet")
	}
	return err
}

func (o *eventsOptions) wants(kind control.Kind) bool {
	for _, prefix := range o.kinds {
		if strings.HasPrefix(string(kind), prefix) {
			return true
		}
	}
	return len(o.kinds) == 0
}

func (a *app) printEvent(e control.Event) error {
	e.Text, e.Reason = a.advice(e.Text), a.advice(e.Reason)
	if a.json {
		return json.NewEncoder(a.out).Encode(e)
	}
	return printEvent(a.out, e)
}

func printEvent(w io.Writer, e control.Event) error {
	text := e.Text
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	_, err := fmt.Fprintf(w, "%s  %-21s  %s\n", e.Time.Local().Format("2006-01-02 15:04:05"), e.Kind, text)
	return err
}
