package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

// treeOptions say what to draw.
type treeOptions struct {
	all, dirs bool
	depth     int
}

func newTreeCommand(a *app) *cobra.Command {
	o := &treeOptions{}
	cmd := &cobra.Command{
		Use:   "tree [PATH]...",
		Short: "draw directories and all that is in them",
		Long: help(`Draws directories with everything below them; without a PATH your root directory home:. A directory that is met a
second time is drawn once, so that directories which contain each other do no harm.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{homeTarget}
			}
			if cmd.Flags().Changed("level") && o.depth < 1 {
				return usagef("tree: --level %d: want 1 or more", o.depth)
			}
			return a.running("tree", func(client *control.Client) error { return a.trees(cmd.Context(), client, o, args) })
		},
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "show names that begin with a dot")
	cmd.Flags().BoolVarP(&o.dirs, "directories", "d", false, "show directories only")
	cmd.Flags().IntVarP(&o.depth, "level", "L", 0, "go `N` directories deep only")
	return cmd
}

// A branch is one entry of a drawing.
type branch struct {
	entry    control.Entry
	children []*branch
}

// trees draws directories, and counts what is in all of them.
func (a *app) trees(ctx context.Context, client *control.Client, o *treeOptions, targets []string) error {
	all, roots := []control.Entry{}, []*branch{}
	failed := forEach(a, "tree", targets, func(target string) error {
		root, entries, err := a.tree(ctx, client, o, target)
		if err == nil {
			all, roots = append(all, entries...), append(roots, root)
		}
		return err
	})
	if failed != nil && len(roots) == 0 {
		return failed
	}
	return firstError(failed, a.result(all, func(w io.Writer) {
		dirs, files := 0, 0
		for _, root := range roots {
			fmt.Fprintln(w, root.entry.Name)
			d, f := draw(w, root, "")
			dirs, files = dirs+d, files+f
		}
		fmt.Fprintf(w, "\n%d directories, %d files\n", dirs, files)
	}))
}

// tree returns what there is to draw of one target.
func (a *app) tree(ctx context.Context, client *control.Client, o *treeOptions, target string) (root *branch, all []control.Entry, err error) {
	byPath := map[string]*branch{}
	err = each(ctx, client, control.ListRequest{Target: target, Recursive: true, Depth: o.depth}, func(l *listing, e control.Entry) error {
		rest := l.relative(e)
		a.noteEnded(shownTarget(e.Path), e.Ended)
		e.Path = l.show(e)
		if !o.all && hidden(rest) || o.dirs && !e.Directory() && rest != "" {
			return nil
		}
		a.noteUnread("tree", e)
		all = append(all, e)
		b := &branch{entry: e}
		byPath[rest] = b
		if rest == "" {
			b.entry.Name, root = target, b
			return nil
		}
		if in := byPath[rest[:max(0, strings.LastIndex(rest, "/"))]]; in != nil {
			in.children = append(in.children, b)
		}
		return nil
	})
	return root, all, err
}

// draw draws what is below a branch, and counts it.
func draw(w io.Writer, b *branch, indent string) (dirs, files int) {
	for i, child := range b.children {
		line, below := "├── ", "│   "
		if i == len(b.children)-1 {
			line, below = "└── ", "    "
		}
		mark := ""
		switch {
		case child.entry.Again:
			mark = "  [shown before]"
		case child.entry.Problem != "":
			mark = "  [cannot be read]"
		}
		fmt.Fprintln(w, indent+line+child.entry.Name+mark)
		if child.entry.Directory() {
			dirs++
		} else {
			files++
		}
		d, f := draw(w, child, indent+below)
		dirs, files = dirs+d, files+f
	}
	return dirs, files
}
