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
		Use:   "tree [PATH]",
		Short: "draw a directory and all that is in it",
		Long: help(`Draws a directory with everything below it; without a PATH your root directory home:. A directory that is met a
second time is drawn once, so that directories which contain each other do no harm.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			args = append(args, homeTarget)
			return a.running("tree", func(client *control.Client) error { return a.tree(cmd.Context(), client, o, args[0]) })
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

func (a *app) tree(ctx context.Context, client *control.Client, o *treeOptions, target string) error {
	if o.depth < 0 {
		return usagef("--level %d: want 1 or more", o.depth)
	}
	var root *branch
	byPath := map[string]*branch{}
	all := []control.Entry{}
	err := each(ctx, client, control.ListRequest{Target: target, Recursive: true, Depth: o.depth}, func(l *listing, e control.Entry) error {
		rest := l.relative(e)
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
	if err != nil {
		return err
	}
	return a.result(all, func(w io.Writer) {
		fmt.Fprintln(w, root.entry.Name)
		dirs, files := draw(w, root, "")
		fmt.Fprintf(w, "\n%d directories, %d files\n", dirs, files)
	})
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
