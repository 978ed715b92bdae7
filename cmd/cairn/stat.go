package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/share/capability"
)

func newStatCommand(a *app) *cobra.Command {
	format := ""
	cmd := &cobra.Command{
		Use:   "stat CAPABILITY|PATH...",
		Short: "show what files and directories are",
		Long: help("Shows what a capability or a path leads to: its kind, its size, how it is encoded, and what its directory\n"+
			"tells of it. Of an immutable file a verify capability is enough.\n\n"+statFormats+"\n"+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkStatFormat(format); err != nil {
				return err
			}
			shown := []stat{}
			err := forEach(a, "stat", args, func(text string) error {
				s, err := a.stat(cmd.Context(), text)
				if err == nil {
					shown = append(shown, s)
				}
				return err
			})
			if format != "" && !a.json {
				return firstError(err, a.printFormatted(format, shown))
			}
			return firstError(err, a.printStats(shown, len(args) > 1))
		},
	}
	cmd.Flags().StringVarP(&format, "format", "c", "", "print a line of `FORMAT` for each")
	return cmd
}

// A stat is what is known of one thing.
type stat struct {
	value any // for programs
	human func(io.Writer)
	entry control.Entry // with what is known of it
}

// printStats prints one object where one thing was named, and a list where several were.
func (a *app) printStats(all []stat, list bool) error {
	values := make([]any, len(all))
	for i, s := range all {
		values[i] = s.value
	}
	if !list && len(all) == 1 {
		return a.result(values[0], all[0].human)
	}
	if !list {
		return nil
	}
	return a.result(values, func(w io.Writer) {
		for i, s := range all {
			if i > 0 {
				fmt.Fprintln(w)
			}
			s.human(w)
		}
	})
}

func (a *app) stat(ctx context.Context, text string) (stat, error) {
	if !bare(text) {
		return a.statPath(ctx, text)
	}
	c, err := parseCapability(text)
	if err != nil {
		return stat{}, err
	}
	if data, ok := c.Data(); ok {
		return statOf(c, control.Stat{Kind: c.Kind().String(), Size: int64(len(data))}), nil
	}
	client, err := a.client()
	if err != nil {
		return stat{}, about(err, "stat %s", c)
	}
	defer client.Close()
	s, err := client.Stat(ctx, c)
	return statOf(c, s), about(err, "stat %s", c)
}

func statOf(c capability.Capability, s control.Stat) stat {
	e := control.Entry{Path: c.String(), Type: control.TypeFile, Kind: s.Kind, Size: s.Size, ID: s.StorageIndex}
	return stat{value: s, human: func(w io.Writer) { writeStat(w, s) }, entry: e}
}

func writeStat(w io.Writer, s control.Stat) {
	fmt.Fprintf(w, "kind           %s\nsize           %d bytes (%s)\n", s.Kind, s.Size, sizeText(s.Size))
	if s.StorageIndex != "" {
		fmt.Fprintf(w, "encoding       %d-of-%d, blocks of %d bytes\nstorage index  %s\n", s.Needed, s.Total, s.BlockSize, s.StorageIndex)
	}
	if s.Copy {
		fmt.Fprintln(w, "copy           complete, in the bucket of this node")
	}
}

// statPath shows what a path leads to: what its directory tells, and for a file what the grid tells.
func (a *app) statPath(ctx context.Context, path string) (shown stat, err error) {
	err = a.running("stat", func(client *control.Client) error {
		e, err := client.Lookup(ctx, control.LookupRequest{Target: path, Capabilities: true, Links: true})
		if err != nil {
			return err
		}
		a.noteEnded(shownTarget(e.Path), e.Ended)
		c, err := capability.Parse(e.Capability)
		if err != nil {
			return err
		}
		e.Capability = ""
		s := control.Stat{Kind: e.Kind, Size: e.Size}
		if _, literal := c.Data(); !literal && (e.Type == control.TypeFile || e.Type == control.TypeLink) {
			if s, err = client.Stat(ctx, c); err != nil {
				return err
			}
		}
		e.Size = s.Size
		document := struct {
			control.Entry
			Needed       int    `json:"needed,omitempty"`
			Total        int    `json:"total,omitempty"`
			BlockSize    int    `json:"block_size,omitempty"`
			StorageIndex string `json:"storage_index,omitempty"`
			Copy         bool   `json:"copy,omitempty"`
		}{e, s.Needed, s.Total, s.BlockSize, s.StorageIndex, s.Copy}
		shown = stat{value: document, entry: e, human: func(w io.Writer) {
			fmt.Fprintf(w, "path           %s\n", e.Path)
			if e.Directory() {
				fmt.Fprintf(w, "kind           %s\n", e.Kind)
			} else {
				writeStat(w, s)
			}
			writeEntry(w, e)
		}}
		return nil
	})
	return shown, err
}

// writeEntry prints what a directory tells of an entry.
func writeEntry(w io.Writer, e control.Entry) {
	rights := "read only"
	if e.Writable {
		rights = "read and write"
	}
	fmt.Fprintf(w, "rights         %s\n", rights)
	for _, at := range []struct {
		name string
		t    time.Time
	}{{"modified", e.Modified}, {"created", e.Created}, {"changed", e.Changed}} {
		if !at.t.IsZero() {
			fmt.Fprintf(w, "%-13s  %s\n", at.name, at.t.Local().Format("2006-01-02 15:04:05"))
		}
	}
	if e.Type == control.TypeLink {
		fmt.Fprintf(w, "link to        %s\n", visible(e.Link))
	}
	if e.ContentType != "" {
		fmt.Fprintf(w, "content type   %s\n", e.ContentType)
	}
	if e.Executable {
		fmt.Fprintln(w, "executable     yes")
	}
}
