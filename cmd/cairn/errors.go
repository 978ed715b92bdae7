package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"cairn/introducer"
	"cairn/introducer/invite"
	"cairn/node"
	"cairn/node/account"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/s3"
)

// The exit statuses. Programs rely on them.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2
	statusNotFound    = 3
	statusNotEnough   = 4
	statusRefused     = 5
	statusInterrupted = 130
)

var statusText = map[int]string{
	statusDone:        "done",
	statusFailed:      "failed, also when the node is not running",
	statusUsage:       "wrong usage, also a malformed capability",
	statusNotFound:    "not found, on disk or on the grid",
	statusNotEnough:   "not enough servers to store or to recover",
	statusRefused:     "refused: a capability, a server or the grid does not allow it",
	statusInterrupted: "interrupted",
}

// help returns a command's long help: its text, then its exit statuses. Every command has 0, 1, 2 and 130.
func help(text string, statuses ...int) string {
	all := append([]int{statusDone, statusFailed, statusUsage}, append(statuses, statusInterrupted)...)
	var b strings.Builder
	b.WriteString(strings.TrimSpace(text) + "\n\nExit status:")
	column := helpWidth // so that the first one begins a line
	for i, status := range all {
		said := fmt.Sprintf("%d %s", status, statusText[status])
		if i < len(all)-1 {
			said += ";"
		}
		if column+1+len(said) > helpWidth {
			b.WriteString("\n ")
			column = 1
		}
		b.WriteString(" " + said)
		column += 1 + len(said)
	}
	return b.String()
}

// helpWidth is how many columns the lines of a help have that are filled by the program.
const helpWidth = 118

// A usageError says that the command line was not understood.
type usageError struct {
	err     error
	command *cobra.Command
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// A missingError says that something is not there, in its own words.
type missingError string

func (e missingError) Error() string { return string(e) }

// Is makes it fs.ErrNotExist.
func (e missingError) Is(target error) bool { return target == fs.ErrNotExist } //nolint:errorlint // compares what is looked for

// A hinted is an error with the next step.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// about says what was being done to what. It returns nil for nil.
func about(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	said := strings.TrimSuffix(fmt.Sprintf(format, args...), ":") // as of home:
	return fmt.Errorf("%s: %w", said, err)
}

// statusOf returns the exit status that an error stands for.
func statusOf(err error) int {
	if e, ok := errors.AsType[*control.Error](err); ok {
		return statusOfCode[e.Code]
	}
	if e, ok := errors.AsType[*endedError](err); ok && e.status > 0 {
		return e.status
	}
	_, wrong := errors.AsType[*usageError](err)
	_, kind := errors.AsType[*capability.KindError](err)
	_, unhappy := errors.AsType[*share.UnhappyError](err)
	_, locked := errors.AsType[*s3.LockedError](err)
	_, few := errors.AsType[*share.NotEnoughSharesError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return statusInterrupted
	case errors.Is(err, capability.ErrAuthority), errors.Is(err, share.ErrDenied), errors.Is(err, share.ErrReadOnly), locked, errors.Is(err, share.ErrReadOnly), errors.Is(err, introducer.ErrNicknameTaken),
		errors.Is(err, invite.ErrNotValid), errors.Is(err, invite.ErrExpired), errors.Is(err, errOtherPhrase),
		errors.Is(err, account.ErrPassphrase), errors.Is(err, node.ErrLocked):
		return statusRefused
	case wrong, kind, errors.Is(err, capability.ErrMalformed), errors.Is(err, introducer.ErrMalformed), errors.Is(err, invite.ErrMalformed),
		errors.Is(err, account.ErrPhrase), errors.Is(err, account.ErrWeak):
		return statusUsage
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, share.ErrNotFound):
		return statusNotFound
	case unhappy, few:
		return statusNotEnough
	}
	return statusFailed
}

var statusOfCode = map[control.Code]int{
	control.CodeFailed: statusFailed, control.CodeMalformed: statusUsage, control.CodeNotFound: statusNotFound,
	control.CodeNotEnough: statusNotEnough, control.CodeRefused: statusRefused, control.CodeCancelled: statusInterrupted,
}

// hintOf returns the next step after an error, or nothing.
func (a *app) hintOf(err error) string {
	if e, ok := errors.AsType[*interruptedError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*hinted](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*control.Error](err); ok {
		if e.Content > 0 && a.verb != nil && a.verb.Flags().Lookup("happy") != nil {
			return fmt.Sprintf("%s; --happy %d would be content with what there is", e.Hint, e.Content)
		}
		if e.Hint == control.HintDirectory && a.verb != nil && a.verb.Flags().Lookup("recursive") == nil {
			return "name a file in it; \"" + a.command("cp -r") + "\" copies a whole directory"
		}
		return e.Hint
	}
	if e, ok := errors.AsType[*usageError](err); ok && e.command != nil {
		return fmt.Sprintf("see \"%s --help\"", e.command.CommandPath())
	}
	if _, ok := errors.AsType[*node.RunningError](err); ok {
		return fmt.Sprintf("stop it first, or use another directory with --dir; \"%s\" shows it", a.command("status"))
	}
	if _, ok := errors.AsType[*control.UnknownCallError](err); ok {
		return fmt.Sprintf("this program is version %s: restart the node with it (\"%s\"; \"%s\")", version(), a.command("stop"), a.command("up -d"))
	}
	switch {
	case errors.Is(err, control.ErrChanged):
		return "store it again when nothing writes to it"
	case errors.Is(err, control.ErrNotRunning) && !node.HasGrid(a.dir):
		return fmt.Sprintf("it belongs to no grid: found one with \"%s\" or join one with \"%s\"", a.command("grid create NAME"), a.command("join INVITATION"))
	case errors.Is(err, control.ErrNotRunning):
		return fmt.Sprintf("start it with \"%s\"", a.command("up"))
	case errors.Is(err, control.ErrStopped):
		return fmt.Sprintf("start it with \"%s\" and run the same command again; the end of its log says why it stopped", a.command("up"))
	case errors.Is(err, node.ErrNoNode):
		return fmt.Sprintf("make a node with \"%s\" or \"%s\", or name another directory with --dir", a.command("init"), a.command("join INVITATION"))
	case errors.Is(err, node.ErrNoGrid):
		return fmt.Sprintf("found one with \"%s\" or join one with \"%s\"", a.command("grid create NAME"), a.command("join INVITATION"))
	case errors.Is(err, node.ErrHasGrid):
		return fmt.Sprintf("leave it first with \"%s\", or use another directory with --dir", a.command("grid leave"))
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("stop the program that has the port, or choose another (network.listen, control.address) with \"%s\"", a.command("config edit"))
	case errors.Is(err, node.ErrLockedAlready):
		return fmt.Sprintf("change the passphrase with \"%s\"", a.command("account change-passphrase"))
	case errors.Is(err, node.ErrNotLocked):
		return fmt.Sprintf("lock them with \"%s\"", a.command("account lock"))
	case errors.Is(err, node.ErrNodeExists):
		return fmt.Sprintf("use it as it is, or name another directory with --dir; settings change with \"%s\"", a.command("config set"))
	}
	return ""
}

// oneLine returns a message with what the person typed on one line each, also where that has several.
func (a *app) oneLine(message string) string {
	for _, arg := range a.args {
		if shown := visible(arg); shown != arg {
			message = strings.ReplaceAll(message, arg, shown)
		}
	}
	return message
}

// report prints an error with its next step on standard error.
func (a *app) report(err error) {
	if _, said := errors.AsType[*silentError](err); said {
		return
	}
	hint := a.advice(a.hintOf(err))
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if !a.json {
		fmt.Fprintf(a.err, "cairn: %s\n", visibleLines(a.advice(a.oneLine(err.Error()))))
		if e, ok := errors.AsType[*control.Error](err); ok {
			for _, cause := range e.Causes {
				fmt.Fprintf(a.err, "  %s\n", visible(a.advice(cause)))
			}
		}
		if hint != "" {
			fmt.Fprintf(a.err, "next: %s\n", visibleLines(hint))
		}
		return
	}
	document := struct {
		Error  string         `json:"error"`
		Hint   string         `json:"hint,omitempty"`
		Status int            `json:"status"`
		Detail *control.Error `json:"detail,omitempty"`
	}{Error: a.advice(err.Error()), Hint: hint, Status: statusOf(err)}
	if e, ok := errors.AsType[*control.Error](err); ok {
		detail := *e
		detail.Message, detail.Hint = a.advice(e.Message), a.advice(e.Hint)
		document.Detail = &detail
	}
	json.NewEncoder(a.err).Encode(document)
}
