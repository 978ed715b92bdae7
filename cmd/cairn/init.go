package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/node"
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
}

func (o *initOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.nickname, "nickname", "", "`NAME` that other members see (default: this machine's name)")
	flags.StringVar(&o.storage, "storage", "", "`PATH` where shares are kept (default: in the node's directory)")
	flags.StringVar(&o.offer, "offer", "", "`SIZE` of the space to lend, such as 10GB (default: all that is free)")
	flags.StringVar(&o.reserve, "reserve", "", "`SIZE` of the disk that stays free (default: 1GiB)")
	flags.BoolVar(&o.noStorage, "no-storage", false, "lend no space: a gateway only")
	flags.StringSliceVar(&o.listen, "listen", nil, "`MULTIADDR`s to listen on (default: every interface, a free port)")
}

// config returns the configuration of the new node.
func (o *initOptions) config() (config.Config, error) {
	c := config.Default()
	c.Nickname = o.nickname
	if name, err := os.Hostname(); err == nil && c.Nickname == "" {
		c.Nickname = name
	}
	c.Storage.Enabled = !o.noStorage
	var err error
	if o.storage != "" {
		if c.Storage.Path, err = filepath.Abs(o.storage); err != nil {
			return c, err
		}
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
	o := &initOptions{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make a node: identity, secrets, configuration",
		Long: help(`Makes a node in the directory given by --dir: a key that is its identity on every grid, a secret that its files' keys
depend on, and a commented configuration file. Nothing is started and nothing is shared before the node joins a grid.

The keys exist in this directory only. Back it up: without them the node is another node, and equal files are stored
anew. Capabilities do not depend on it: who has a file's capability can read it through any node of the grid.`),
		Example: "  cairn init --nickname laptop --offer 50GB",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.initialise(o)
			return err
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// initialise makes the node and says so.
func (a *app) initialise(o *initOptions) (*node.Dir, error) {
	c, err := o.config()
	if err != nil {
		return nil, about(err, "make node in %s", a.dir)
	}
	dir, err := node.Init(a.dir, c)
	if err != nil {
		return nil, err
	}
	made := struct {
		Node     string      `json:"node"`
		Nickname string      `json:"nickname"`
		Dir      string      `json:"dir"`
		Storage  bool        `json:"storage"`
		Offer    config.Size `json:"offer"`
		Reserve  config.Size `json:"reserve"`
		Listen   []string    `json:"listen"`
	}{string(dir.ID()), c.Nickname, a.dir, c.Storage.Enabled, c.Storage.Offer, c.Storage.Reserve, c.Network.Listen}
	err = a.result(made, func(w io.Writer) {
		fmt.Fprintf(w, "node      %s\nnickname  %s\ndirectory %s\n", made.Node, made.Nickname, made.Dir)
	})
	a.note("The node's keys are in %s and nowhere else: back this directory up, and show it to nobody.", a.dir)
	a.note("next: found a grid with \"%s\" or join one with \"%s\"", a.command("grid create NAME"), a.command("join INVITATION"))
	return dir, err
}
