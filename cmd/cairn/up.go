package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"cairn/cmd/service"
	"cairn/node"
	"cairn/node/config"
)

// upOptions say how to run the node.
type upOptions struct {
	set    []string
	detach bool
}

func newUpCommand(a *app) *cobra.Command {
	o := &upOptions{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "run the node",
		Long: help(`Runs the node in the foreground until it is interrupted: it stores shares for others, finds and meets the members of
the grid, and serves the commands on this machine. It logs to standard error, or to log.file; the line "ready" says
that it serves. Started by systemd, it says so there too.

With --detach it runs in the background and logs to node.log in its directory, unless log.file says otherwise. The
command returns when the node serves and prints the number of its process, or why it does not serve. It does not start
again with the machine; "cairn service install" sees to that.

Keys that are locked ("cairn account lock") are opened with the passphrase that --passphrase-file holds, systemd's
credential "cairn-passphrase" or the system's keyring, or that you type.

"cairn stop" stops it. Interrupted once it stops in order, interrupted twice at once. Stopping it at any moment loses
nothing that was acknowledged.`, statusRefused),
		Example: "  cairn up\n  cairn up --detach\n  cairn up --set log.level=debug",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.detach {
				relax(cmd.Context())
			}
			return runUp(cmd.Context(), a, o)
		},
	}
	cmd.Flags().StringArrayVar(&o.set, "set", nil, "`KEY=VALUE`: a setting for this run (see \"cairn config show\")")
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "run in the background and return when the node serves")
	return cmd
}

func runUp(ctx context.Context, a *app, o *upOptions) error {
	flags := map[string]string{}
	for _, pair := range o.set {
		key, value, ok := strings.Cut(pair, "=")
		if _, err := config.Lookup(key); err != nil || !ok {
			return usagef("--set %s: want KEY=VALUE with a key of \"cairn config show\"", pair)
		}
		flags[key] = value
	}
	c, origins, err := a.loadConfig(flags)
	if err != nil {
		return err
	}
	if o.detach {
		return runDetached(ctx, a, o, c)
	}
	ctx, cancel := leashed(ctx)
	defer cancel()
	return service.Run(ctx, func(ctx context.Context) error { return a.runNode(ctx, c, origins) })
}

// runNode runs the node until the context ends or somebody stops it.
func (a *app) runNode(ctx context.Context, c config.Config, origins config.Origins) error {
	out, err := a.openLog(c.Log)
	if err != nil {
		return err
	}
	defer out.Close()
	log := newLogger(out, c.Log)
	n, err := node.Open(ctx, a.dir, c, node.Options{Version: version(), Logger: log, Unlock: a.unlock})
	if err != nil {
		return a.passphraseHint(a.explainOwnBucket(a.explainLeft(err, c, origins), c))
	}
	ready := slog.New(newHandler(out, c.Log, slog.LevelInfo)) // whatever the level: programs wait for it
	ready.Info("ready", "address", n.Endpoint().Address, "node", n.ID(), "grid", n.GridName(), "pid", n.Endpoint().PID)
	if err := notify("READY=1\nSTATUS=node " + n.ID() + " of grid " + n.GridName()); err != nil {
		log.Warn("the service manager does not know that the node is ready", "error", err)
	}
	err = a.announceUp(n)
	if err == nil {
		err = n.Run(ctx)
	}
	if failed := notify("STOPPING=1"); failed != nil {
		log.Debug("the service manager does not know that the node is stopping", "error", failed)
	}
	return errors.Join(err, n.Close())
}

// announceUp tells programs on standard output that the node serves, and how it is reached.
func (a *app) announceUp(n *node.Node) error {
	if !a.json {
		return nil
	}
	at := n.Endpoint()
	return a.result(struct {
		Node    string `json:"node"`
		Grid    string `json:"grid"`
		Address string `json:"address"`
		PID     int    `json:"pid"`
	}{n.ID(), n.GridName(), at.Address, at.PID}, nil)
}

// loadConfig reads the node's configuration from file, environment and flags.
func (a *app) loadConfig(flags map[string]string) (config.Config, config.Origins, error) {
	if !node.Exists(a.dir) {
		return config.Config{}, nil, about(node.ErrNoNode, "%s", a.dir)
	}
	c, origins, err := config.Load(a.configPath(), getenv, flags)
	if err != nil {
		return c, nil, withHint(err, "correct it with \"%s\"", a.command("config edit"))
	}
	return c, origins, nil
}

// shares says what a node lends.
func shares(c config.Config) string {
	switch {
	case !c.Storage.Enabled:
		return "This node lends no space; it is a gateway."
	case c.Storage.Bucket() && c.Storage.Offer == 0:
		return fmt.Sprintf("This node lends %s without a bound; set one with \"cairn config set storage.offer 100GB\".", c.Storage.Path)
	case c.Storage.Bucket():
		return fmt.Sprintf("This node lends %s of %s; change it with \"cairn config set storage.offer SIZE\".", c.Storage.Offer, c.Storage.Path)
	case c.Storage.Offer == 0:
		return fmt.Sprintf("This node lends all free space of its disk but %s; change it with \"cairn config set storage.offer 10GB\".", c.Storage.Reserve)
	}
	return fmt.Sprintf("This node lends %s; change it with \"cairn config set storage.offer SIZE\".", c.Storage.Offer)
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration has been validated
	}
	return slog.New(newHandler(w, c, level))
}

func newHandler(w io.Writer, c config.Log, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if c.File == "" && toJournal() {
		options.ReplaceAttr = withoutTime
	}
	if c.Format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// withoutTime leaves out the time of a record, for a log that notes it by itself.
func withoutTime(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && attr.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return attr
}
