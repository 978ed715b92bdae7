package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/config"
	"cairn/node/control"
)

// findFlags are the tests that find takes with one dash too, as find(1) does.
var findFlags = []string{"name", "iname", "path", "type", "size", "newer", "mtime", "maxdepth", "mindepth", "print0", "print", "empty"}

// findOptions say what to look for. Every test that is given must hold.
type findOptions struct {
	name, iname, path, kind, size, newer, mtime string
	maxdepth, mindepth                          int
	print0, empty                               bool
}

func newFindCommand(a *app) *cobra.Command {
	o := &findOptions{}
	cmd := &cobra.Command{
		Use:   "find [PATH]... [TEST]...",
		Short: "look for files in directories of the grid",
		Long: help(`Goes through directories and prints the path of everything that passes all tests; without a PATH through your root
directory home:. Tests are written with one dash or two. Each directory is gone into once, so that those which
contain each other do no harm.

  -name PATTERN   the name matches, with *, ? and [...]; -iname also in another case; -path the whole path
  -type f|d|l     it is a file, a directory, or a symbolic link
  -size [+-]N     it is N long, or longer (+), or shorter (-): 100, +1MiB, -10kB
  -newer TIME     its contents changed after TIME: a date such as 2026-11-01, or a file on disk or on the grid
  -mtime [+-]N    its contents changed N days ago, or longer (+) or shorter (-) ago
  -empty          it is a file without contents

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn find home: -name '*.jpg' -size +1MiB\n  cairn find home:docs -type d\n  cairn find home: -newer 2026-11-01 -print0",
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{homeTarget}
			}
			for _, arg := range args { // before anything is printed that is not meant
				if _, err := control.ParseTarget(arg); err != nil {
					return about(err, "find")
				}
			}
			return a.running("find", func(client *control.Client) error {
				tests, err := o.tests(cmd.Context(), client)
				if err != nil {
					return err
				}
				return forEach(a, "find", args, func(target string) error { return a.find(cmd.Context(), client, o, tests, target) })
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the name matches `PATTERN`")
	flags.StringVar(&o.iname, "iname", "", "the name matches `PATTERN`, in any case")
	flags.StringVar(&o.path, "path", "", "the path matches `PATTERN`")
	flags.StringVar(&o.kind, "type", "", "`TYPE`: f, d or l")
	flags.StringVar(&o.size, "size", "", "`[+-]SIZE`")
	flags.StringVar(&o.newer, "newer", "", "changed after `TIME`, a date or a file")
	flags.StringVar(&o.mtime, "mtime", "", "changed `[+-]DAYS` ago")
	flags.IntVar(&o.maxdepth, "maxdepth", -1, "go `N` directories deep at most")
	flags.IntVar(&o.mindepth, "mindepth", 0, "leave out what is less than `N` deep")
	flags.Bool("print", true, "")
	_ = flags.MarkHidden("print") // the flag is there
	flags.BoolVar(&o.print0, "print0", false, "end each path with a zero byte")
	flags.BoolVar(&o.empty, "empty", false, "a file without contents")
	return cmd
}

// dashes writes the tests of find with two dashes, as the parser wants them.
func dashes(args []string) []string {
	out := make([]string, len(args))
	copy(out, args)
	verb := ""
	for i, arg := range out {
		switch {
		case arg == "--":
			return out
		case verb == "" && !strings.HasPrefix(arg, "-") && (i == 0 || out[i-1] != "--dir"):
			verb = arg
		case verb == "find" && strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--"):
			for _, name := range findFlags {
				if arg == "-"+name || strings.HasPrefix(arg, "-"+name+"=") {
					out[i] = "-" + arg
				}
			}
		}
	}
	return out
}

// A test says whether an entry is wanted.
type test func(path string, e control.Entry) bool

// tests returns the tests that were asked for.
func (o *findOptions) tests(ctx context.Context, client *control.Client) ([]test, error) {
	var all []test
	for _, pattern := range []struct{ flag, text string }{{"name", o.name}, {"iname", strings.ToLower(o.iname)}, {"path", o.path}} {
		if _, err := path.Match(pattern.text, ""); err != nil {
			return nil, usagef("-%s %s: the pattern is malformed", pattern.flag, pattern.text)
		}
	}
	if o.name != "" {
		all = append(all, func(_ string, e control.Entry) bool { return globbed(o.name, e.Name) })
	}
	if o.iname != "" {
		all = append(all, func(_ string, e control.Entry) bool {
			return globbed(strings.ToLower(o.iname), strings.ToLower(e.Name))
		})
	}
	if o.path != "" {
		all = append(all, func(p string, _ control.Entry) bool {
			return globbed(strings.ReplaceAll(o.path, "/", "\x00"), strings.ReplaceAll(p, "/", "\x00"))
		})
	}
	switch o.kind {
	case "":
	case "f", "d", "l":
		want := map[string]string{"f": control.TypeFile, "d": control.TypeDirectory, "l": control.TypeLink}[o.kind]
		all = append(all, func(_ string, e control.Entry) bool { return e.Type == want })
	default:
		return nil, usagef("-type %s: want f, d or l", o.kind)
	}
	if o.empty {
		all = append(all, func(_ string, e control.Entry) bool { return e.Type == control.TypeFile && e.Size == 0 })
	}
	for _, more := range []func(context.Context, *control.Client) (test, error){o.sized, o.aged, o.after} {
		t, err := more(ctx, client)
		if err != nil {
			return nil, err
		}
		if t != nil {
			all = append(all, t)
		}
	}
	return all, nil
}

// globbed is path.Match for a pattern that is well formed.
func globbed(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return err == nil && ok
}

// signed takes the sign off a number: +1 for more, -1 for less, 0 for exactly.
func signed(text string) (sign int, rest string) {
	switch {
	case strings.HasPrefix(text, "+"):
		return 1, text[1:]
	case strings.HasPrefix(text, "-"):
		return -1, text[1:]
	}
	return 0, text
}

func (o *findOptions) sized(context.Context, *control.Client) (test, error) {
	if o.size == "" {
		return nil, nil //nolint:nilnil // no test
	}
	sign, text := signed(o.size)
	size, err := config.ParseSize(text)
	if err != nil {
		return nil, usagef("-size: %w", err)
	}
	return func(_ string, e control.Entry) bool {
		if e.Type != control.TypeFile || e.Size < 0 {
			return false
		}
		return sign == 0 && e.Size == int64(size) || sign > 0 && e.Size > int64(size) || sign < 0 && e.Size < int64(size)
	}, nil
}

func (o *findOptions) aged(context.Context, *control.Client) (test, error) {
	if o.mtime == "" {
		return nil, nil //nolint:nilnil // no test
	}
	sign, text := signed(o.mtime)
	days, err := strconv.Atoi(text)
	if err != nil || days < 0 {
		return nil, usagef("-mtime %s: want a number of days", o.mtime)
	}
	now := time.Now()
	return func(_ string, e control.Entry) bool {
		age := int(now.Sub(e.Modified) / (24 * time.Hour))
		return !e.Modified.IsZero() && (sign == 0 && age == days || sign > 0 && age > days || sign < 0 && age < days)
	}, nil
}

func (o *findOptions) after(ctx context.Context, client *control.Client) (test, error) {
	if o.newer == "" {
		return nil, nil //nolint:nilnil // no test
	}
	at, err := moment(ctx, client, o.newer)
	if err != nil {
		return nil, err
	}
	return func(_ string, e control.Entry) bool { return e.Modified.After(at) }, nil
}

// moment reads a date, or returns when a file changed.
func moment(ctx context.Context, client *control.Client, text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if control.OnGrid(text) {
		e, err := client.Lookup(ctx, control.LookupRequest{Target: text})
		return e.Modified, err
	}
	info, err := os.Stat(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("-newer: %w", err)
	}
	return info.ModTime(), nil
}

func (a *app) find(ctx context.Context, client *control.Client, o *findOptions, tests []test, target string) error {
	end := "\n"
	if o.print0 {
		end = "\x00"
	}
	request := control.ListRequest{Target: target, Recursive: o.maxdepth != 0, Depth: max(0, o.maxdepth), Limit: 1}
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return each(ctx, client, request, func(l *listing, e control.Entry) error {
		rest := l.relative(e)
		depth := depthOf(rest)
		e.Path = l.show(e)
		if o.maxdepth < 0 || depth < o.maxdepth {
			a.noteUnread("find", e)
		}
		if depth < o.mindepth || o.maxdepth >= 0 && depth > o.maxdepth {
			return nil
		}
		if depth == 0 {
			e.Name = nameOf(target)
		}
		for _, wanted := range tests {
			if !wanted(e.Path, e) {
				return nil
			}
		}
		if a.json {
			return encoder.Encode(e)
		}
		path := e.Path
		if a.outTerminal() && !o.print0 {
			path = visible(path)
		}
		_, err := fmt.Fprint(a.out, path+end)
		return err
	})
}
