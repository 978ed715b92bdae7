package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/node"
	"cairn/node/account"
	"cairn/node/config"
)

// initOptions say what node to make.
type initOptions struct {
	nickname  string
	storage   string
	offer     string
	reserve   string
	noStorage bool
	listen    []string
	bucket    bucketOptions
}

// newNodeOptions say whose the node is, and where its phrase is shown.
type newNodeOptions struct {
	initOptions
	from     phraseOptions
	restore  bool
	sheet    string
	noPhrase bool
}

func (o *initOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.nickname, "nickname", "", "`NAME` that other members see (default: this machine's name)")
	flags.StringVar(&o.storage, "storage", "", "`PATH` where shares are kept (default: in the node's directory), or a bucket: s3://BUCKET/PREFIX")
	flags.StringVar(&o.offer, "offer", "", "`SIZE` of the space to lend, such as 10GB (default: all that is free; of a bucket without a bound)")
	flags.StringVar(&o.reserve, "reserve", "", "`SIZE` of the disk that stays free (default: 1GiB)")
	flags.BoolVar(&o.noStorage, "no-storage", false, "lend no space: a gateway only")
	flags.StringSliceVar(&o.listen, "listen", nil, "`MULTIADDR`s to listen on (default: every interface, a free port)")
	o.bucket.addFlags(flags)
}

// config returns the configuration of the new node.
func (o *initOptions) config() (config.Config, error) {
	c := config.Default()
	c.Nickname = o.nickname
	if name, err := os.Hostname(); err == nil && c.Nickname == "" {
		c.Nickname = name
	}
	c.Storage.Enabled = !o.noStorage
	err := o.configure(&c.Storage)
	if err != nil {
		return c, err
	}
	for _, size := range []struct {
		flag, text string
		value      *config.Size
	}{{"--offer", o.offer, &c.Storage.Offer}, {"--reserve", o.reserve, &c.Storage.Reserve}} {
		if size.text == "" {
			continue
		}
		if *size.value, err = config.ParseSize(size.text); err != nil {
			return c, usagef("%s: %w", size.flag, err)
		}
	}
	if c.Network.Listen = slices.Clone(o.listen); len(o.listen) == 0 {
		if c.Network.Listen, err = node.ChooseListen(); err != nil {
			return c, err
		}
	}
	if err := c.Validate(); err != nil {
		return c, &usageError{err: err}
	}
	return c, nil
}

func newInitCommand(a *app) *cobra.Command {
	o := &newNodeOptions{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make a node: identity, account, recovery phrase, configuration",
		Long: help(`Makes a node in the directory given by --dir: a key that is its identity on every grid, an account that is you, and a
commented configuration file. Nothing is started and nothing is shared before the node joins a grid.

The account follows from 24 words, the recovery phrase, which is shown once: write it down on paper. With it, "cairn
recover" brings you back on a new machine; whoever else has it is you. --from-phrase takes one that you have: typed on
the terminal or from --phrase-file, never from the command line, which others on the machine can see.

With --storage s3://BUCKET/PREFIX the shares go to a bucket of an S3 server, which is tried out first; docs/operate.md
tells of it.`, statusNotFound, statusRefused),
		Example: `  cairn init --nickname laptop --offer 50GB
  cairn init --from-phrase
  cairn init --storage s3://my-bucket/cairn --region eu-central-1 --access-key AKIA... --secret-file ~/key --offer 500GB`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInit(cmd.Context(), a, o) },
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.restore, "from-phrase", false, "make the account from a recovery phrase that you have")
	cmd.Flags().StringVar(&o.sheet, "sheet", "", "`FILE` to write a recovery sheet to, with the phrase; a page if its name ends in .html")
	cmd.Flags().BoolVar(&o.noPhrase, "no-phrase", false, "make the account from a phrase that nobody sees, for nodes that need no recovery")
	o.from.addFlags(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("no-phrase", "from-phrase", "sheet")
	cmd.MarkFlagsMutuallyExclusive("no-phrase", "phrase-file")
	cmd.MarkFlagsMutuallyExclusive("sheet", "phrase-file")
	return cmd
}

func runInit(ctx context.Context, a *app, o *newNodeOptions) error {
	if o.restore || o.from.file != "" {
		if node.Exists(a.dir) {
			return about(node.ErrNodeExists, "make node in %s", a.dir)
		}
		phrase, err := a.phrase(o.from)
		if err != nil {
			return err
		}
		dir, c, err := a.initialise(ctx, &o.initOptions, &phrase)
		if err != nil {
			return err
		}
		return a.reportMade(dir, c, "")
	}
	if _, err := os.Lstat(o.sheet); o.sheet != "" && err == nil {
		return fmt.Errorf("recovery sheet: %s: %w; name a file that is not there yet", o.sheet, fs.ErrExist)
	}
	dir, c, err := a.initialise(ctx, &o.initOptions, nil)
	if err != nil {
		return err
	}
	if o.noPhrase {
		if err := dir.ForgetPhrase(); err != nil {
			return err
		}
	}
	phrase, err := a.takePhrase(dir)
	if err != nil {
		return err
	}
	if err := a.reportMade(dir, c, phrase); err != nil {
		return err
	}
	if o.sheet != "" {
		if err := a.writeNewSheet(ctx, dir, o.sheet); err != nil {
			return err
		}
		a.note("The recovery phrase is on %s: print it, and delete the file.", o.sheet)
		return nil
	}
	if phrase != "" {
		return dir.ForgetPhrase()
	}
	return a.showPhrase(dir)
}

// initialise makes the node, from a phrase where one is given. One whose bucket cannot be used is not made.
func (a *app) initialise(ctx context.Context, o *initOptions, phrase *account.Phrase) (*node.Dir, config.Config, error) {
	c, err := o.config()
	if err != nil {
		return nil, c, about(err, "make node in %s", a.dir)
	}
	if node.Exists(a.dir) {
		return nil, c, about(node.ErrNodeExists, "make node in %s", a.dir)
	}
	keys, err := a.tryBucket(ctx, &o.bucket, c)
	if err != nil {
		return nil, c, about(err, "make node in %s", a.dir)
	}
	var dir *node.Dir
	if phrase != nil {
		dir, err = node.InitFrom(a.dir, c, *phrase)
	} else {
		dir, err = node.Init(a.dir, c)
	}
	if err == nil {
		err = a.takeBucket(ctx, dir, c, keys, o.bucket.claim)
	}
	return dir, c, err
}

// reportMade says what node was made.
func (a *app) reportMade(dir *node.Dir, c config.Config, phrase string) error {
	made := struct {
		Node     string      `json:"node"`
		Nickname string      `json:"nickname"`
		Dir      string      `json:"dir"`
		Storage  bool        `json:"storage"`
		Offer    config.Size `json:"offer"`
		Reserve  config.Size `json:"reserve"`
		Listen   []string    `json:"listen"`
		Phrase   string      `json:"phrase,omitempty"`
		Bucket   string      `json:"bucket,omitempty"`
	}{string(dir.ID()), c.Nickname, a.dir, c.Storage.Enabled, c.Storage.Offer, c.Storage.Reserve, c.Network.Listen, phrase, ""}
	if c.Storage.Enabled && c.Storage.Bucket() {
		made.Bucket = c.Storage.Path
	}
	err := a.result(made, func(w io.Writer) {
		fmt.Fprintf(w, "node      %s\nnickname  %s\ndirectory %s\n", made.Node, made.Nickname, made.Dir)
		if made.Bucket != "" {
			fmt.Fprintf(w, "bucket    %s\n", made.Bucket)
		}
	})
	if made.Bucket != "" && made.Offer == 0 {
		a.note("Nothing bounds what goes to the bucket, and what it costs: \"%s\" does.", a.command("config set storage.offer 100GB"))
	}
	a.note("The node's keys are in %s: show them to nobody. \"%s\" seals them with a passphrase.", a.dir, a.command("account lock"))
	a.note("next: found a grid with \"%s\" or join one with \"%s\"", a.command("grid create NAME"), a.command("join INVITATION"))
	return err
}
