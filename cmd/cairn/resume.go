package main

import (
	"context"
	"strconv"
	"strings"

	"cairn/node/control"
	"cairn/node/transfer"
)

// sameCommand goes on with most of what was interrupted.
const sameCommand = "the same command again"

// A resumption says how to go on with a tree that was not moved as a whole.
type resumption struct {
	a       *app
	command string // the command line, or what is to be said of it
}

// resumeCopy returns how to go on with a copy of a tree. Where the copy made its target, the same command would copy into that.
func (a *app) resumeCopy(o *cpOptions, source, target string, made bool) resumption {
	switch {
	case !made || o.exact || contents(source) || control.OnGrid(source) && nameOf(source) == "":
		return resumption{a, sameCommand}
	case strings.HasPrefix(source, "cairn:") || strings.HasPrefix(target, "cairn:"):
		return resumption{a, "the same command with -T"} // a capability is a secret, and is not shown
	}
	flags := "-rT"
	if o.keep {
		flags += "n"
	}
	words := []string{"cp", flags}
	if o.repeats != transfer.DefaultRepeats {
		words = append(words, "--repeats", strconv.Itoa(o.repeats))
	}
	if a.copies != control.CopyAsSet {
		words = append(words, "--keep-copy", string(a.copies))
	}
	return resumption{a, `"` + a.command(typed(append(words, noFlag(source), noFlag(target))...)) + `"`}
}

// noFlag returns a name on disk as it is not taken for a flag.
func noFlag(name string) string {
	if strings.HasPrefix(name, "-") {
		return "./" + name
	}
	return name
}

// An interruptedError says how to go on with what a person interrupted.
type interruptedError struct{ hint string }

func (e *interruptedError) Error() string { return "interrupted" }
func (e *interruptedError) Unwrap() error { return context.Canceled }

// hint says how to go on once it is mended what some entries are missing for.
func (r resumption) hint() string {
	return "mend what keeps them from being copied, and run " + r.command + ": it moves only what is missing"
}

// after adds to the error that ended all how to go on.
func (r resumption) after(ctx context.Context, err error) error {
	plain := "what was copied stays; " + r.command + " goes on with the rest"
	if ctx.Err() != nil {
		return &interruptedError{hint: plain}
	}
	hint := r.a.hintOf(err)
	if hint == "" {
		return withHint(err, "%s", plain)
	}
	if !strings.Contains(hint, "same command") {
		hint += "; " + sameCommand + " goes on with the rest"
	}
	hint = strings.ReplaceAll(hint, sameCommand, "the same command")
	return withHint(err, "%s", strings.ReplaceAll(hint, "the same command", r.command))
}
