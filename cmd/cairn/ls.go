package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

// lsOptions say what to list and how.
type lsOptions struct {
	long, all, recursive, caps, human, classify, directory bool
	byTime, bySize, reverse                                bool
}

func newLsCommand(a *app) *cobra.Command {
	o := &lsOptions{}
	cmd := &cobra.Command{
		Use:        "ls [PATH]...",
		SuggestFor: []string{"dir", "list"},
		Short:      "list a directory of the grid",
		Long: help(`Lists what is in directories, in the order of names; without a PATH your root directory home:.

With -l a line says first what it is (d a directory, l a symbolic link, - a file, ? a kind of a later version),
whether you can read and write it, and whether it can be executed; then its size in bytes, when its contents changed,
its name, and where a link points. Names that begin with a dot are shown with -a only. --caps shows the capability
of each; whoever sees one has what it gives.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn ls\n  cairn ls -l home:docs\n  cairn ls -R --json home:",
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{homeTarget}
			}
			return a.running("ls", func(client *control.Client) error { return a.ls(cmd.Context(), client, o, args) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.long, "long", "l", false, "show what each is, its size and its time")
	flags.BoolVarP(&o.all, "all", "a", false, "show names that begin with a dot")
	also(flags, &o.all, "A")
	habits(flags, "1")
	flags.BoolVarP(&o.byTime, "time", "t", false, "the newest first")
	flags.BoolVarP(&o.bySize, "size", "S", false, "the largest first")
	flags.BoolVarP(&o.reverse, "reverse", "r", false, "the other way round")
	flags.BoolVarP(&o.recursive, "recursive", "R", false, "list the directories below too")
	flags.BoolVarP(&o.directory, "directory", "d", false, "list directories themselves, not what is in them")
	flags.BoolVarP(&o.human, "human-readable", "h", false, "with -l, sizes as people write them")
	flags.BoolVarP(&o.classify, "classify", "F", false, "put a slash behind the names of directories (always on a terminal)")
	flags.BoolVar(&o.caps, "caps", false, "show capabilities")
	flags.Bool("help", false, "help for ls")
	return cmd
}

// A block is one directory of a listing.
type block struct {
	title   string
	paths   bool // it is no directory, but what was named itself: each is shown with its path
	entries []control.Entry
}

func (a *app) ls(ctx context.Context, client *control.Client, o *lsOptions, targets []string) error {
	o.classify = o.classify || a.outTerminal()
	all := []control.Entry{}
	files := &block{paths: true}
	blocks, failed := []*block{}, error(nil)
	for _, target := range slices.Sorted(slices.Values(targets)) {
		found, err := a.list(ctx, client, o, target, files)
		blocks = append(blocks, found...)
		failed = errors.Join(failed, err)
		if len(targets) == 1 && err != nil {
			return err
		}
	}
	if len(files.entries) > 0 {
		blocks = append([]*block{files}, blocks...)
	}
	for _, b := range blocks {
		o.sort(b.entries)
		all = append(all, b.entries...)
	}
	err := a.result(all, func(w io.Writer) {
		for i, b := range blocks {
			if i > 0 && b.title != "" {
				fmt.Fprintln(w)
			}
			if b.title != "" && (len(targets) > 1 || o.recursive) {
				fmt.Fprintln(w, strings.TrimSuffix(b.title, ":")+":")
			}
			printEntries(w, o, b)
		}
	})
	return errors.Join(failed, err)
}

// sort puts the entries of a block, which are in the order of names, into the one that was asked for.
func (o *lsOptions) sort(entries []control.Entry) {
	slices.SortStableFunc(entries, func(x, y control.Entry) int {
		switch {
		case o.bySize:
			return cmp.Compare(y.Size, x.Size)
		case o.byTime:
			return y.Modified.Compare(x.Modified)
		}
		return 0
	})
	if o.reverse {
		slices.Reverse(entries)
	}
}

// list returns the directories that there are to show of one target. What is named itself is added to the files.
func (a *app) list(ctx context.Context, client *control.Client, o *lsOptions, target string, files *block) ([]*block, error) {
	order := []*block{}
	byPath := map[string]*block{}
	request := control.ListRequest{Target: target, Recursive: o.recursive, Capabilities: o.caps, Links: o.long || a.json}
	if o.directory {
		request.Depth, request.Recursive = 1, true
	}
	err := each(ctx, client, request, func(l *listing, e control.Entry) error {
		rest := l.relative(e)
		a.noteEnded(shownTarget(e.Path), e.Ended && (rest == "" || o.recursive))
		e.Path, e.Name = l.show(e), cmp.Or(e.Name, nameOf(target))
		if rest == "" {
			if e.Directory() && !o.directory {
				byPath[""] = &block{title: target}
				order = append(order, byPath[""])
				return nil
			}
			files.entries = append(files.entries, e)
			return nil
		}
		if o.directory || !o.all && hidden(rest) {
			return nil
		}
		in := rest[:max(0, strings.LastIndex(rest, "/"))]
		if b := byPath[in]; b != nil {
			b.entries = append(b.entries, e)
		}
		a.noteUnread("ls", e)
		if o.recursive && e.Directory() && !e.Again {
			byPath[rest] = &block{title: e.Path}
			order = append(order, byPath[rest])
		}
		return nil
	})
	return order, err
}

func printEntries(w io.Writer, o *lsOptions, b *block) {
	width := 1
	for _, e := range b.entries {
		width = max(width, len(shownSize(o, e)))
	}
	for _, e := range b.entries {
		name := e.Name
		if b.paths {
			name = e.Path
		}
		if o.classify && e.Directory() && !strings.HasSuffix(name, "/") && !strings.HasSuffix(name, ":") {
			name += "/"
		}
		fmt.Fprintln(w, entryLine(o, e, name, width))
	}
}

// entryLine returns the line of an entry whose size is written that wide.
func entryLine(o *lsOptions, e control.Entry, name string, width int) string {
	switch {
	case !o.long && o.caps:
		return e.Capability + "  " + name
	case !o.long:
		return name
	}
	line := fmt.Sprintf("%s  %*s  %s  %s", modeOf(e), width, shownSize(o, e), timeText(e.Modified), name)
	if e.Link != "" {
		line += " -> " + visible(e.Link)
	}
	if o.caps {
		line += "  " + e.Capability
	}
	return line
}

// modeOf says in four letters what an entry is and what can be done with it.
func modeOf(e control.Entry) string {
	mode := []byte("-r--")
	switch {
	case e.Directory():
		mode[0] = 'd'
	case e.Type == control.TypeLink:
		mode[0] = 'l'
	case e.Type == control.TypeUnknown:
		mode = []byte("?---")
	}
	if strings.HasSuffix(e.Kind, "-verify") {
		mode[1] = '-'
	}
	if e.Writable {
		mode[2] = 'w'
	}
	if e.Executable {
		mode[3] = 'x'
	}
	return string(mode)
}

func shownSize(o *lsOptions, e control.Entry) string {
	switch {
	case e.Directory() || e.Size < 0:
		return "-"
	case o.human:
		return sizeText(e.Size)
	}
	return fmt.Sprint(e.Size)
}

// timeText returns a time as ls shows it, a dash where it is unknown.
func timeText(t time.Time) string {
	if t.IsZero() {
		return fmt.Sprintf("%-16s", "-")
	}
	return t.Local().Format("2006-01-02 15:04")
}
