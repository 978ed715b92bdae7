package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

// duOptions say what has a line.
type duOptions struct {
	all, summary, human, total bool
	depth                      int // of directories below the PATH; all where it is negative
}

func newDuCommand(a *app) *cobra.Command {
	o := duOptions{depth: -1}
	cmd := &cobra.Command{
		Use:   "du [PATH]...",
		Short: "add up the sizes of files",
		Long: help(`Adds up the sizes of the files in each directory, in bytes, those below it included; without a PATH of your root
directory home:. With -a each file has a line too. A file with several names counts once. It is the size of the
contents; what the shares take on the members' disks is more, by how much "cairn grid show" tells (a grid that needs 3
of 10 shares stores 10/3).

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{homeTarget}
			}
			if cmd.Flags().Changed("max-depth") && o.depth < 0 {
				return usagef("du: --max-depth %d: want 0 or more", o.depth)
			}
			if o.summary && o.all {
				return usagef("du: -s is for one line, and -a for one of each file")
			}
			if o.summary {
				o.depth = 0
			}
			return a.running("du", func(client *control.Client) error {
				sums, all := []*usageSum{}, &usageSum{Path: "total"}
				err := forEach(a, "du", args, func(target string) error {
					found, err := a.usage(cmd.Context(), client, target, o)
					sums = append(sums, found...)
					all.plus(found)
					return err
				})
				if o.total {
					sums = append(sums, all)
				}
				return firstError(err, a.result(sums, func(w io.Writer) {
					for _, s := range sums {
						size := fmt.Sprint(s.Bytes)
						if o.human {
							size = sizeText(s.Bytes)
						}
						fmt.Fprintf(w, "%s\t%s\n", size, s.Path)
					}
				}))
			})
		},
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "a line for files too")
	cmd.Flags().BoolVarP(&o.summary, "summarize", "s", false, "one line for each PATH")
	cmd.Flags().BoolVarP(&o.human, "human-readable", "h", false, "sizes as people write them")
	cmd.Flags().IntVarP(&o.depth, "max-depth", "d", -1, "a line for directories up to `N` deep only")
	cmd.Flags().BoolVarP(&o.total, "total", "c", false, "a line for all PATHs together")
	habits(cmd.Flags(), "b")
	cmd.Flags().Bool("help", false, "help for du")
	return cmd
}

// A usageSum is what one directory holds.
type usageSum struct {
	Path        string `json:"path"`
	Bytes       int64  `json:"bytes"`
	Files       int    `json:"files"`
	Directories int    `json:"directories"` // below it
	depth       int    // of its path from the target on
}

// usage adds up a target: the sums of the directories below it first, its own last.
func (a *app) usage(ctx context.Context, client *control.Client, target string, o duOptions) ([]*usageSum, error) {
	open, order := map[string]*usageSum{}, []*usageSum{}
	counted := map[string]bool{}
	err := each(ctx, client, control.ListRequest{Target: target, Recursive: true}, func(l *listing, e control.Entry) error {
		rest := l.relative(e)
		a.noteEnded(shownTarget(e.Path), e.Ended)
		a.noteUnread("du", e)
		if rest == "" || e.Directory() && !e.Again || o.all && !e.Directory() {
			open[rest] = &usageSum{Path: l.show(e), depth: depthOf(rest)}
			order = append(order, open[rest])
		}
		once := e.ID == "" || !counted[e.ID]
		counted[e.ID] = true
		for at := rest; ; at = at[:max(0, strings.LastIndex(at, "/"))] {
			if sum := open[at]; sum != nil && (at != rest || !e.Directory()) {
				sum.add(e, once || at == rest)
			}
			if at == "" {
				return nil
			}
		}
	})
	if err != nil || len(order) == 0 {
		return nil, err
	}
	inward := inwardFirst(order, func(sum *usageSum) int { return sum.depth })
	return slices.DeleteFunc(inward, func(sum *usageSum) bool { return o.depth >= 0 && sum.depth > o.depth }), nil
}

// inwardFirst puts what a listing has in front of what is in it behind that.
func inwardFirst[T any](order []T, depth func(T) int) []T {
	var out, open []T
	for _, item := range order {
		for len(open) > 0 && depth(open[len(open)-1]) >= depth(item) {
			out = append(out, open[len(open)-1])
			open = open[:len(open)-1]
		}
		open = append(open, item)
	}
	slices.Reverse(open)
	return append(out, open...)
}

// plus adds what a target holds, whose own sum is the last of its sums.
func (s *usageSum) plus(sums []*usageSum) {
	if len(sums) == 0 {
		return
	}
	top := sums[len(sums)-1]
	s.Bytes, s.Files, s.Directories = s.Bytes+top.Bytes, s.Files+top.Files, s.Directories+top.Directories
}

func (s *usageSum) add(e control.Entry, once bool) {
	switch {
	case e.Directory():
		s.Directories++
	case once:
		s.Files++
		s.Bytes += max(0, e.Size)
	}
}
