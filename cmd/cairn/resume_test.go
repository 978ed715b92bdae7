package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"cairn/node/control"
	"cairn/node/transfer"
)

// TestResumedCopies: what is advised goes on with the copy, and shows no capability.
func TestResumedCopies(t *testing.T) {
	a := &app{dir: "/a dir"}
	const few = "the same command"
	plain := cpOptions{repeats: transfer.DefaultRepeats}
	for _, c := range []struct {
		o              cpOptions
		source, target string
		made           bool
		want           string
	}{
		{plain, "src", "home:dst", true, `"cairn --dir '/a dir' cp -rT src home:dst"`},
		{plain, "it's", "home:a b", true, `"cairn --dir '/a dir' cp -rT 'it'\''s' 'home:a b'"`},
		{plain, "home:src", "-dst", true, `"cairn --dir '/a dir' cp -rT home:src ./-dst"`},
		{plain, "-src", "home:dst", true, `"cairn --dir '/a dir' cp -rT ./-src home:dst"`},
		{cpOptions{keep: true, repeats: 7}, "home:src", "dst", true, `"cairn --dir '/a dir' cp -rTn --repeats 7 home:src dst"`},
		{plain, "src", "home:dst", false, few + " again"},
		{plain, "src/.", "home:dst", true, few + " again"},
		{plain, "home:", "dst", true, few + " again"},
		{cpOptions{exact: true, repeats: 7}, "src", "home:dst", true, few + " again"},
		{plain, "src", "cairn:dir:k51:secret/dst", true, few + " with -T"},
		{plain, "cairn:dir:k51:secret/src", "dst", true, few + " with -T"},
		{plain, "cairn:dir:k51:secret", "dst", true, few + " again"},
	} {
		next := a.resumeCopy(&c.o, c.source, c.target, c.made)
		if next.command != c.want {
			t.Errorf("%s to %s: %s, want %s", c.source, c.target, next.command, c.want)
		}
	}
}

// TestResumptionAfterErrors: the advice that an error has already names no command that would copy into the copy.
func TestResumptionAfterErrors(t *testing.T) {
	a := &app{dir: defaultDir()}
	next := a.resumeCopy(&cpOptions{repeats: transfer.DefaultRepeats}, "src", "home:dst", true)
	const command = `"cairn cp -rT src home:dst"`
	for _, err := range []error{
		errors.New("something"), control.ErrStopped,
		&control.Error{Message: "few", Hint: "start more; running the same command again continues where it stopped"},
		&control.Error{Message: "quota", Hint: "lend more, and the same command continues where it stopped"},
		&control.Error{Message: "other", Hint: "look at it"},
	} {
		hint := a.hintOf(next.after(t.Context(), err))
		if strings.Contains(hint, "same command") || strings.Count(hint, command) != 1 {
			t.Errorf("%v: %s", err, hint)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := next.after(ctx, errors.New("terminated"))
	if statusOf(err) != statusInterrupted || !strings.Contains(a.hintOf(err), command) {
		t.Errorf("interrupted: status %d, %s", statusOf(err), a.hintOf(err))
	}
}
