package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"cairn/node/control"
	"cairn/share"
)

// askFlag adds the flag that has a verb ask before it replaces something.
func askFlag(flags *pflag.FlagSet, ask *bool) {
	flags.BoolVarP(ask, "interactive", "i", false, "ask before something is replaced")
}

// yes asks a person on standard error, and reads the answer from standard input: what begins with a y is yes.
func (a *app) yes(format string, args ...any) (bool, error) {
	fmt.Fprintf(a.err, "%s (y/N) ", visible(fmt.Sprintf(format, args...)))
	if a.answers == nil {
		a.answers = bufio.NewReader(a.in)
	}
	line, err := a.answers.ReadString('\n')
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(a.err) // where the answer would stand
		err = nil
	}
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y"), err
}

// mayReplace asks before what has a name on the grid is replaced. Where nothing has it, or a directory that is not replaced anyway, the
// answer is yes.
func (a *app) mayReplace(ctx context.Context, client *control.Client, verb, target, name string, exact bool) (bool, error) {
	e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
	if err == nil && e.Directory() && !exact && name != "" {
		e, err = client.Lookup(ctx, control.LookupRequest{Target: below(target, name)})
	}
	if errors.Is(err, share.ErrNotFound) || err == nil && e.Directory() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return a.yes("%s: replace %s?", verb, shownTarget(e.Path))
}

// mayReplaceFile asks before a file on disk is replaced.
func (a *app) mayReplaceFile(verb, path string) (bool, error) {
	if _, err := os.Lstat(path); err != nil {
		return true, nil //nolint:nilerr // writing it says what is wrong
	}
	return a.yes("%s: replace %s?", verb, path)
}
