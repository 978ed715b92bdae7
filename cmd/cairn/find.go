package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/internal/predicate"
	"cairn/node/config"
	"cairn/node/control"
)

func newFindCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "find [PATH]... [TEST|ACTION]...",
		Short: "look for files in directories of the grid",
		Long: help(`Goes through directories, each once, and prints the path of everything that passes the tests; without a PATH through
your root directory home:. Tests are joined as in find(1), by ( ) ! -a -o and a comma, and written with one dash or two.

  -name PATTERN     the name matches, with *, ? and [...]; -iname in any case; -path and -ipath the whole path
  -type f|d|l       it is a file, a directory, or a symbolic link; several with commas between
  -size [+-]N       it is N long, or longer (+), or shorter (-): 100, +1MiB, -10kB
  -newer TIME       its contents changed after TIME: a date such as 2026-11-01, or a file on disk or on the grid
  -mtime [+-]N      its contents changed N days ago, or longer (+) or shorter (-) ago; -mmin in minutes
  -empty            it is a file without contents, or a directory with nothing in it; also -executable, -true, -false
  -maxdepth N       go N directories deep at most, -mindepth N at least; -depth: what is in a directory first
  -print, -print0   print the path, ended by a newline or a zero byte; so does an expression without an action
  -prune, -quit     do not go into the directory; end here
  -exec COMMAND ;   run a program of this machine, with the path for {}; with {} + for many paths at once
  -delete           remove the name, of directories that are empty by then

-delete and -exec begin when everything has been listed. A cairn that -exec runs works with the same node.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn find home: -name '*.jpg' -size +1MiB\n  cairn find home:docs -type d -o -newer 2026-11-01 -print0\n" +
			"  cairn find home: -name '*.tmp' -mtime +30 -delete\n  cairn find home:docs -name '*.md' -exec cairn cat {} +",
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
			x, err := predicate.Parse(a.expression, predicate.Environment{Now: time.Now(), Size: sizeOfText, Moment: a.momentIn(cmd.Context())})
			if _, wrong := errors.AsType[*predicate.SyntaxError](err); wrong {
				return &usageError{err: about(err, "find"), command: cmd}
			}
			if err != nil {
				return about(err, "find")
			}
			return a.running("find", func(client *control.Client) error { return a.findAll(cmd.Context(), client, x, args) })
		},
	}
}

// withoutExpression takes the tests and actions of find out of a command line, which the parser of flags does not know, and keeps them.
func (a *app) withoutExpression(args []string) []string {
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") || i > 0 && (args[i-1] == "--dir" || args[i-1] == "--passphrase-file") {
			continue
		}
		if arg != "find" {
			return args
		}
		expression, rest := predicate.Separate(args[i+1:])
		a.expression = expression
		return append(args[:i+1:i+1], rest...)
	}
	return args
}

func sizeOfText(text string) (int64, error) {
	size, err := config.ParseSize(text)
	return int64(size), err
}

// momentIn reads a date, or returns when a file changed.
func (a *app) momentIn(ctx context.Context) func(text string) (time.Time, error) {
	return func(text string) (at time.Time, err error) {
		for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
			if at, err = time.ParseInLocation(layout, text, time.Local); err == nil {
				return at, nil
			}
		}
		if at, err = time.Parse(time.RFC3339, text); err == nil {
			return at, nil
		}
		if !control.OnGrid(text) {
			info, err := os.Stat(text)
			if err != nil {
				return at, err
			}
			return info.ModTime(), nil
		}
		client, err := a.client()
		if err != nil {
			return at, err
		}
		defer client.Close()
		e, err := client.Lookup(ctx, control.LookupRequest{Target: text})
		return e.Modified, err
	}
}

// A finding is something that find came by.
type finding struct {
	entry control.Entry
	rest  string // its path from the target on
	empty bool
}

func (f *finding) thing() predicate.Thing {
	e := f.entry
	t := predicate.Thing{
		Path: e.Path, Name: e.Name, Size: e.Size, Modified: e.Modified, Executable: e.Executable, Type: predicate.Other,
		Empty: f.empty || e.Type == control.TypeFile && e.Size == 0,
	}
	switch e.Type {
	case control.TypeFile:
		t.Type = predicate.File
	case control.TypeDirectory:
		t.Type = predicate.Directory
	case control.TypeLink:
		t.Type = predicate.Link
	}
	return t
}

// findAll goes through several targets.
func (a *app) findAll(ctx context.Context, client *control.Client, x *predicate.Expression, targets []string) error {
	f := &finder{a: a, ctx: ctx, client: client, x: x, encoder: json.NewEncoder(a.out), bare: map[string]bool{}}
	f.encoder.SetEscapeHTML(false)
	err := forEach(a, "find", targets, f.find)
	if f.quit != nil {
		err = nil
	}
	return firstError(firstError(err, f.runGathered()), f.failed)
}

// A finder is one run of find.
type finder struct {
	a       *app
	ctx     context.Context //nolint:containedctx // it lives as long as the command
	client  *control.Client
	x       *predicate.Expression
	encoder *json.Encoder
	bare    map[string]bool // directories that were listed, by ID, and whether nothing was in them
	emptied map[string]bool // directories that -delete has emptied
	left    map[string]int  // how many things are in a directory that was listed whole, while some are removed
	batches []*batchOfPaths
	current *finding
	failed  error // of actions after which it went on
	quit    error // errQuit since -quit was met
}

// find goes through one target.
func (f *finder) find(target string) error {
	if f.quit != nil {
		return nil
	}
	var kept []*finding
	use := f.use()
	if f.x.Changes || f.x.Inward {
		use = func(found *finding) error { kept = append(kept, found); return nil }
	}
	err := f.list(target, use)
	if f.quit != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if f.x.Inward {
		kept = inwardFirst(kept, func(found *finding) int { return depthOf(found.rest) })
	}
	f.left, f.emptied = map[string]int{}, map[string]bool{}
	for _, found := range kept {
		if found.rest != "" {
			f.left[parentOf(found.rest)]++
		}
	}
	use = f.use()
	for _, found := range kept {
		if err := use(found); err != nil {
			return firstError(f.quit, err)
		}
	}
	return nil
}

// parentOf returns the path of the directory that something is in.
func parentOf(rest string) string { return rest[:max(0, strings.LastIndex(rest, "/"))] }

// list lists a target. A directory is passed on when it is known whether something is in it.
func (f *finder) list(target string, use func(*finding) error) error {
	request := control.ListRequest{Target: target, Recursive: f.x.MaxDepth != 0 || f.x.Empties, Depth: max(0, f.x.MaxDepth), Limit: 1}
	if f.x.Empties && f.x.MaxDepth >= 0 {
		request.Depth++ // to see what is in the deepest
	}
	var open *finding
	settle := func(next int) error {
		found := open
		open = nil
		if found == nil {
			return nil
		}
		e := found.entry
		listed := e.Directory() && e.Problem == "" && !e.Again
		if found.empty = listed && next <= depthOf(found.rest); listed {
			f.bare[e.ID] = found.empty
		}
		found.empty = found.empty || e.Directory() && e.Again && f.bare[e.ID]
		return use(found)
	}
	err := each(f.ctx, f.client, request, func(l *listing, e control.Entry) error {
		found := &finding{rest: l.relative(e)}
		depth := depthOf(found.rest)
		if err := settle(depth); err != nil {
			return err
		}
		f.a.noteEnded(shownTarget(e.Path), e.Ended && (f.x.MaxDepth < 0 || depth <= f.x.MaxDepth))
		e.Path = l.show(e)
		if f.x.MaxDepth < 0 || depth < f.x.MaxDepth {
			f.a.noteUnread("find", e)
		}
		if f.x.MaxDepth >= 0 && depth > f.x.MaxDepth {
			return nil
		}
		if depth == 0 {
			e.Name = nameOf(target)
		}
		found.entry, open = e, found
		return nil
	})
	return firstError(err, settle(0))
}

// use returns what tests what is found, and does what is to be done to it. It leaves out what is in directories that are pruned.
func (f *finder) use() func(*finding) error {
	var pruned *string // the path of the last directory that was
	return func(found *finding) error {
		inside := pruned != nil && (*pruned == "" || strings.HasPrefix(found.rest, *pruned+"/"))
		if inside || depthOf(found.rest) < f.x.MinDepth {
			return nil
		}
		f.current = found
		found.empty = found.empty || f.emptied[found.rest]
		o, err := f.x.Apply(found.thing(), f)
		if o.Prune {
			pruned = &found.rest
		}
		if o.Quit {
			f.quit = errQuit
			return firstError(err, errQuit)
		}
		return err
	}
}
