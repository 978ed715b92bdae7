package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/internal/awake"
	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/doctor"
)

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "look for what keeps the node from working well",
		Long: help(`Looks at the node's directory, keys, settings and disk, and, when the node runs, at its clock, its peers and how
others reach it. Every line that is not ok has a fix. A warning leaves the node working, with less than it could; a
failure does not, and makes the status 1.

While the node is not running the command checks what it can, also whether another program has the node's ports.
Asking peers takes up to half a minute.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), a) },
	}
}

// A diagnosis is what `doctor` prints.
type diagnosis struct {
	OK      bool           `json:"ok"` // nothing failed
	Running bool           `json:"running"`
	Checks  []doctor.Check `json:"checks"`
}

func runDoctor(ctx context.Context, a *app) error {
	d := a.diagnose(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.result(d, func(w io.Writer) { printDiagnosis(w, d) }); err != nil {
		return err
	}
	if !d.OK {
		return errUnwell
	}
	return nil
}

// errUnwell ends the command with a status; what is wrong has been said.
var errUnwell = &silentError{errors.New("something failed")}

// A silentError is a failure about which everything has been said.
type silentError struct{ err error }

func (e *silentError) Error() string { return e.err.Error() }
func (e *silentError) Unwrap() error { return e.err }

func (a *app) diagnose(ctx context.Context) diagnosis {
	e := node.Examination{Path: a.dir, Used: -1}
	var lockErr error
	if _, e.Running, lockErr = node.Running(a.dir); lockErr != nil {
		e.Running = false // the directory's check says more
	}
	e.Config, _, e.ConfigErr = config.Load(a.configPath(), getenv, nil)
	var told []doctor.Check
	if e.Running {
		told, e.Used = a.askNode(ctx)
	}
	d := diagnosis{Running: e.Running, Checks: e.Checks(ctx)}
	switch {
	case e.Running:
		d.Checks = append(d.Checks, told...)
	case node.Exists(a.dir):
		d.Checks = append(d.Checks, doctor.Warning("node", "is not running: clock, peers and reachability were not looked at",
			fmt.Sprintf("start it with %q and look again", a.command("up"))))
	}
	for i := range d.Checks {
		d.Checks[i].Seen, d.Checks[i].Fix = a.advice(d.Checks[i].Seen), a.advice(d.Checks[i].Fix)
	}
	d.OK = !doctor.Failed(d.Checks)
	return d
}

// askNode asks the running node for what it sees, and how much space shares take, -1 when it does not say.
func (a *app) askNode(ctx context.Context) (checks []doctor.Check, used int64) {
	const name, fix = "node", "see its log; stopping and starting it loses nothing that was acknowledged"
	client, err := a.client()
	if err != nil {
		return []doctor.Check{doctor.Result(name, "", err, fix)}, -1
	}
	defer client.Close()
	soon, cancel := awake.WithTimeout(ctx, answerWithin)
	defer cancel()
	s, err := client.Status(soon)
	if err != nil {
		switch {
		case errors.Is(err, control.ErrNotRunning):
			err = errors.New("a process has the directory and does not listen: it is starting, stopping, or hangs")
		case errors.Is(err, context.DeadlineExceeded):
			err = fmt.Errorf("process %d has the directory and does not answer within %v: it hangs, or is stopped", client.Endpoint().PID, answerWithin)
		}
		return []doctor.Check{doctor.Result(name, "", err, fix)}, -1
	}
	running := doctor.Result(name, fmt.Sprintf("runs as process %d, local API at %s", s.PID, client.Endpoint().Address), nil, "")
	used = -1
	if s.Storage.Enabled {
		used = s.Storage.Used
	}
	told, err := client.Diagnose(ctx)
	if err != nil {
		return []doctor.Check{running, doctor.Result("network", "", err, fix)}, used
	}
	return append([]doctor.Check{running}, told...), used
}

func printDiagnosis(w io.Writer, d diagnosis) {
	width, warnings, failures := 0, 0, 0
	for _, c := range d.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range d.Checks {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", c.State, width, c.Name, c.Seen)
		if c.Fix != "" {
			fmt.Fprintf(w, "      %-*s  fix: %s\n", width, "", c.Fix)
		}
		switch c.State {
		case doctor.Warn:
			warnings++
		case doctor.Fail:
			failures++
		}
	}
	fmt.Fprintf(w, "%s, %s, %s\n", number(len(d.Checks), "check"), number(warnings, "warning"), number(failures, "failure"))
}

// number returns a number of things.
func number(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
