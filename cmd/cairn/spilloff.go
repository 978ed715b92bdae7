package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/control"
)

func newSpillOffCommand(a *app) *cobra.Command {
	var abandon bool
	cmd := &cobra.Command{
		Use:   "off",
		Short: "use no bucket any more",
		Long: help(`Stops using the bucket from the node's next start on, and forgets its keys. It is refused while shares, copies or heads
are in the bucket; --abandon lists them and leaves them there, where nobody serves them.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSpillOff(a, cmd, abandon) },
	}
	cmd.Flags().BoolVar(&abandon, "abandon", false, "leave in the bucket what is there, after a list of it")
	return cmd
}

func runSpillOff(a *app, cmd *cobra.Command, abandon bool) error {
	c, _, _, err := a.bucket()
	if err != nil {
		return err
	}
	left := []control.Spilled{}
	if c.Spill.Bucket == "" {
		a.note("no bucket is set")
		return a.result(map[string]any{"abandoned": left}, func(io.Writer) {})
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	edited, err := a.editSettings(map[string]string{"spill.endpoint": "", "spill.ca": "", "spill.bucket": "", "spill.keep_copy": "false"})
	if err != nil {
		return err
	}
	if dir.UsedBucket() {
		left, err = a.endSpill(cmd.Context(), control.EndSpillRequest{Abandon: abandon})
	}
	if err != nil && !abandon {
		return withHint(err, "what is in the bucket can be told only by a node that runs and reaches it; --abandon does without")
	}
	if err != nil {
		a.note("what is given up is not known: %v", err)
	}
	if len(left) > 0 && !abandon {
		return &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("spill off: %s are in %s and would be lost to the grid", spilledText(left), c.Spill.Bucket),
			Hint: "bring them back with \"" + a.command("spill drain --all") + "\", or give them up with --abandon, which lists them",
		}
	}
	if err := edited.write(a); err != nil {
		return a.goOnSpilling(cmd.Context(), err)
	}
	if err := dir.SetBucketKeys(node.BucketKeys{}); err != nil {
		return about(err, "%s is used no more from the node's next start on, but its keys are still in %s", c.Spill.Bucket, dir.Path())
	}
	a.noteRestart("no bucket is used")
	return a.result(map[string]any{"abandoned": left}, func(w io.Writer) {
		for _, f := range left {
			if f.Name != "" {
				fmt.Fprintf(w, "%s heads\n", f.Name)
				continue
			}
			what := "stored for"
			if f.Copy {
				what = "a copy for"
			}
			var numbers []string
			for _, n := range f.Shares {
				numbers = append(numbers, strconv.Itoa(n))
			}
			slices.Sort(f.Owners)
			fmt.Fprintf(w, "%s shares %s, %s %s\n", f.File, strings.Join(numbers, ","), what, strings.Join(f.Owners, ", "))
		}
	})
}

// endSpill has the running node put nothing more into the bucket, unless shares are there.
func (a *app) endSpill(ctx context.Context, request control.EndSpillRequest) (left []control.Spilled, err error) {
	err = a.running("spill off", func(client *control.Client) (err error) {
		left, err = client.EndSpill(ctx, request)
		return err
	})
	return left, err
}

// goOnSpilling has the running node use the bucket as before, because it could not be switched off in the settings.
func (a *app) goOnSpilling(ctx context.Context, cause error) error {
	_, err := a.endSpill(ctx, control.EndSpillRequest{Undo: true})
	if err == nil || errors.Is(err, control.ErrNotRunning) {
		return about(cause, "the bucket stays in use")
	}
	return withHint(fmt.Errorf("the bucket stays in the settings, and takes nothing until the node is started again: %w; %w", cause, err), "run it again when what is wrong is corrected, or start the node again: \"%s\", \"%s\"",
		a.command("stop"), a.command("up --detach"))
}

// spilledText counts what is in the bucket.
func spilledText(all []control.Spilled) string {
	files, copies, names := 0, 0, 0
	for _, f := range all {
		switch {
		case f.Name != "":
			names++
		case f.Copy:
			copies++
		default:
			files++
		}
	}
	var texts []string
	for _, c := range []struct {
		count int
		what  string
	}{{files, "shares of %d files"}, {copies, "copies of %d files"}, {names, "heads of %d names"}} {
		if c.count > 0 {
			texts = append(texts, fmt.Sprintf(c.what, c.count))
		}
	}
	return strings.Join(texts, ", ")
}
