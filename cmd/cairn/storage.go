package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share/s3"
)

func newStorageCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "storage",
		Short: "the bucket of a node that has no disk",
		Long: help(`Looks after the bucket in which a node keeps its shares that was made with "init --storage s3://BUCKET/PREFIX". What is
in it "cairn status" shows; the settings are those of "cairn config" that begin with storage.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStorageTestCommand(a), newStorageKeysCommand(a), newStorageTakeOverCommand(a), newStorageAbandonCommand(a))
	return cmd
}

// ownBucket returns the settings of the node, its directory, and its bucket.
func (a *app) ownBucket() (*node.Dir, config.Config, s3.Config, error) {
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return nil, c, s3.Config{}, err
	}
	if !c.Storage.Enabled || !c.Storage.Bucket() {
		return nil, c, s3.Config{}, withHint(errors.New("this node keeps no shares in a bucket"), "\"%s\" is about the bucket behind a disk", a.command("spill"))
	}
	dir, err := a.openDir()
	if err != nil {
		return nil, c, s3.Config{}, err
	}
	where, _, err := dir.StorageBucket(c)
	return dir, c, where, err
}

func newStorageTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "try the bucket out",
		Long: help(`Looks whether another node has the prefix, or one above or below it. Then it writes a small object, reads it, compares
it and deletes it, and says what is wrong when one of these fails. It also tells when the bucket keeps versions or locks
objects, and when its server does not know conditional writes. The node may run, and does not have to.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, c, where, err := a.ownBucket()
			if err != nil {
				return err
			}
			began := time.Now()
			found, err := dir.ProbeBucket(cmd.Context(), where)
			if err != nil {
				return a.explainOwnBucket(err, c)
			}
			return a.tried(c.Storage.Path, found, time.Since(began))
		},
	}
}

// tried tells of a bucket that was tried out.
func (a *app) tried(url string, found s3.Probed, took time.Duration) error {
	a.noteProbed(found)
	return a.result(triedBucket{url, took.Seconds(), found}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: written, read, compared and deleted in %s\n", url, took.Round(time.Millisecond))
	})
}

// A triedBucket is what trying out a bucket has shown.
type triedBucket struct {
	Bucket  string  `json:"bucket"`
	Seconds float64 `json:"seconds"`
	s3.Probed
}

// noteProbed tells what is to be known about a bucket that can be used.
func (a *app) noteProbed(found s3.Probed) {
	for _, note := range found.Notes() {
		a.note("%s", note)
	}
}

func newStorageKeysCommand(a *app) *cobra.Command {
	var o keyOptions
	var forget bool
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "show or change the keys of the bucket",
		Long: help(`Shows where the keys of the bucket come from. With --access-key it changes them: the secret key is read from a file, or
from standard input ("--secret-file -"), or asked for. With --forget the node has none of its own, and uses those of the
environment, of the AWS tools' files, or of the machine's role. The secret key is never shown. A change holds from the
node's next start on.`),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runStorageKeys(a, o, forget) },
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&forget, "forget", false, "remove the keys of this node")
	cmd.MarkFlagsMutuallyExclusive("forget", "access-key")
	return cmd
}

func runStorageKeys(a *app, o keyOptions, forget bool) error {
	dir, _, where, err := a.ownBucket()
	if err != nil {
		return err
	}
	keys, err := o.read(a)
	if err != nil {
		return err
	}
	if changed := keys != (node.BucketKeys{}); changed || forget {
		if err := dir.SetBucketKeys(keys); err != nil {
			return about(err, "keys of the bucket")
		}
		where.AccessKey = keys.AccessKey
		a.noteRestart("the change holds")
	}
	return a.result(map[string]string{"access_key": where.AccessKey}, func(w io.Writer) {
		fmt.Fprintln(w, keysOf(where))
	})
}

// keysOf says where the keys of a bucket come from.
func keysOf(where s3.Config) string {
	if where.AccessKey != "" {
		return "this node's, access key " + where.AccessKey
	}
	return "the environment, the files of the AWS tools, or the role of the machine"
}

func newStorageTakeOverCommand(a *app) *cobra.Command {
	claim := claimOptions{node.BucketClaim{TakeOver: true}}
	cmd := &cobra.Command{
		Use:   "take-over",
		Short: "take the bucket's prefix from a node that is gone for good",
		Long: help(`Makes the prefix of the bucket this node's, when another node has it that will never run again: one whose machine and
directory are lost. What that node stored this one serves from its next start on. Two nodes that both believed to have
one prefix would delete what the other one needs; the one from which it is taken stops writing when it notices, within
a minute or so. What it acknowledges until then is lost: a node that was heard of in the last three minutes keeps the
prefix, unless --force says that it is gone.`, statusNotFound, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStorageTakeOver(cmd.Context(), a, claim) },
	}
	claim.addForce(cmd.Flags(), "")
	return cmd
}

func runStorageTakeOver(ctx context.Context, a *app, claim claimOptions) error {
	dir, c, where, err := a.ownBucket()
	if err != nil {
		return err
	}
	if err := a.claimBucket(ctx, dir, where, node.BucketKeys{}, claim); err != nil {
		return a.explainOwnBucket(err, c)
	}
	return a.result(map[string]string{"bucket": c.Storage.Path}, func(w io.Writer) { fmt.Fprintf(w, "%s is this node's\n", c.Storage.Path) })
}

func newStorageAbandonCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "abandon",
		Short: "give up what is in the bucket",
		Long: help(`Lists the files of which shares are in the bucket, and gives them up: the settings may name another place from then on,
and the node starts with it. What is in the bucket stays there, where nobody serves it. The node must not run. Started
with the same bucket after all, the node finds out anew what is in it.`, statusNotFound),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runStorageAbandon(a) },
	}
}

func runStorageAbandon(a *app) error {
	if !node.Exists(a.dir) {
		return about(node.ErrNoNode, "%s", a.dir)
	}
	if pid, running, err := node.Running(a.dir); err != nil {
		return err
	} else if running {
		return &node.RunningError{Dir: a.dir, PID: pid}
	}
	left := []control.Spilled{}
	if err := node.AbandonBucket(a.dir, listInto(&left)); err != nil {
		return err
	}
	a.note("what is in the bucket is given up from the node's next start on")
	return a.result(map[string]any{"abandoned": left}, func(w io.Writer) { printSpilled(w, left) })
}
