package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/s3"
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
	other, err := a.otherHeld(c)
	if err != nil {
		return err
	}
	if c.Spill.Bucket == "" && other == nil {
		a.note("%s", noSpill(c))
		return a.result(map[string]any{"abandoned": []control.Spilled{}}, func(io.Writer) {})
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	edited, err := a.editSettings(map[string]string{"spill.endpoint": "", "spill.ca": "", "spill.bucket": "", "spill.keep_copy": "false"})
	if err != nil {
		return err
	}
	left := []control.Spilled{}
	place := c.Spill.Bucket
	switch {
	case other != nil && !abandon:
		return other
	case other != nil:
		if left, err = a.leftBehind(); err != nil {
			return err
		}
		place = "the bucket"
	case dir.UsedBucket():
		if left, err = a.inSpill(cmd.Context(), place, abandon); err != nil {
			return err
		}
	}
	if abandon && dir.UsedBucket() {
		if err := node.GiveUpBucket(a.dir); err != nil {
			return a.goOnSpilling(cmd.Context(), err)
		}
	}
	if err := edited.write(a); err != nil {
		return a.goOnSpilling(cmd.Context(), errors.Join(err, node.KeepBucket(a.dir)))
	}
	if err := dir.SetBucketKeys(node.BucketKeys{}); err != nil {
		return about(err, "%s is used no more from the node's next start on, but its keys are still in %s", place, dir.Path())
	}
	a.noteRestart("no bucket is used")
	return a.result(map[string]any{"abandoned": left}, func(w io.Writer) { printSpilled(w, left) })
}

// otherHeld returns why the node does not start: what it put behind its disk is in another bucket than the one that the settings name.
func (a *app) otherHeld(c config.Config) (error, error) {
	err := node.LeavesBucket(a.dir, c)
	left, ok := errors.AsType[*s3.OtherError](err)
	switch {
	case ok && !node.UsedForStorage(left.Held):
		_, origins, err := a.loadConfig(nil)
		return a.explainLeft(left, c, origins), err
	case ok || errors.Is(err, share.ErrBusy): // the node runs with what the settings name, or named
		return nil, nil
	}
	return nil, err
}

// inSpill lists what is in the bucket that the settings name, and refuses to go on when that is something, or is not known, and it is not to be
// given up.
func (a *app) inSpill(ctx context.Context, bucket string, abandon bool) ([]control.Spilled, error) {
	left, err := a.endSpill(ctx, control.EndSpillRequest{Abandon: abandon})
	if abandon && errors.Is(err, control.ErrNotRunning) {
		left, err = a.leftBehind()
	}
	switch {
	case err != nil && !abandon:
		return nil, withHint(err, "what is in the bucket can be told only by a node that runs and reaches it; --abandon does without")
	case err != nil:
		a.note("what is given up is not known: %v", err)
	case len(left) > 0 && !abandon:
		return nil, &control.Error{
			Code: control.CodeRefused, Message: fmt.Sprintf("spill off: %s are in %s and would be lost to the grid", spilledText(left), bucket),
			Hint: a.bringBack(left),
		}
	}
	return left, nil
}

// bringBack says what can be done about what is in the bucket.
func (a *app) bringBack(left []control.Spilled) string {
	if slices.ContainsFunc(left, func(f control.Spilled) bool { return !f.Copy }) {
		return "bring them back with \"" + a.command("spill drain --all") + "\", or give them up with --abandon, which lists them"
	}
	return "copies are not brought back, and stay as long as the leases of their files last; give them up with --abandon, which lists them"
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
