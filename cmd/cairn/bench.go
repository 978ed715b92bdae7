package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cairn/node/config"
	"cairn/share"
)

// benchOptions say what to measure.
type benchOptions struct {
	nodes    int
	sizes    []string
	small    int
	added    []int
	entries  []int
	trees    []int
	idle     time.Duration
	notice   time.Duration
	markdown string
	// server is the S3 server's program, and bucketFiles how many small files go into a bucket of it.
	server      string
	bucketFiles int
}

// A bench is one run of the measurements, on one grid of node processes.
type bench struct {
	*benchOptions
	app   *app
	dir   string
	bytes []int64 // the sizes
	nodes *localNodes
	out   benchReport
}

// benchParams is the encoding that is measured; grids smaller than ten nodes get what fits them.
func (o *benchOptions) params() share.Params { return share.DefaultParams(o.nodes) }

func newBenchCommand(a *app) *cobra.Command {
	o := &benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure a grid of node processes on this machine",
		Long: help(`Starts a grid of node processes on this machine and measures it: storing and reading large files beside the bare
codec and the bare transport, small files, directories and trees of small files, a small range of a large file, a
stopped node, memory, and what an idle grid costs. Where restic is installed, it backs the same trees up to a
repository on this disk, to compare. With --s3-server, a node that keeps its shares in a bucket is measured beside a
plain S3 client. CPU seconds are those of all processes together. Nothing passes or fails.

It needs free disk space of about four times the largest size, and leaves nothing behind.`),
		Example: "  cairn bench\n  cairn bench --size 100MB,1GiB --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), a, o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.nodes, "nodes", 10, "how many nodes to start, 4 to 50")
	flags.StringSliceVar(&o.sizes, "size", []string{"100MB"}, "sizes of the large files")
	flags.IntVar(&o.small, "small", 200, "how many small files to store of each size")
	flags.IntSliceVar(&o.added, "added", []int{100, 1000}, "how many files to add to directories one by one")
	flags.IntSliceVar(&o.entries, "entries", []int{1000, 5000, 100_000}, "how many entries the directories have, at least 10")
	flags.IntSliceVar(&o.trees, "trees", []int{500, 1000, 10_000}, "how many small files the trees have")
	flags.DurationVar(&o.idle, "idle", 10*time.Second, "how long to watch the idle grid")
	flags.DurationVar(&o.notice, "notice", 25*time.Second, "how long the others get to notice that a node has stopped")
	flags.StringVar(&o.server, "s3-server", "", "program of an S3 server (versitygw) for the part about a bucket; without one that is left out")
	flags.IntVar(&o.bucketFiles, "bucket-files", 1000, "how many small files to put into the bucket, 0 for no part about a bucket")
	flags.StringVar(&o.markdown, "markdown", "", "write the tables into this file, between its markers")
	return cmd
}

func runBench(ctx context.Context, a *app, o *benchOptions) (err error) {
	b := &bench{benchOptions: o, app: a}
	if err := b.check(); err != nil {
		return err
	}
	b.dir, err = os.MkdirTemp("", "cairn-bench-")
	if err != nil {
		return about(err, "bench")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.nodes, err = newLocalNodes(b.dir); err != nil {
		return about(err, "bench")
	}
	defer b.nodes.grid.Close()
	if err := b.run(ctx); err != nil {
		return about(err, "bench")
	}
	if o.markdown != "" {
		if err := b.out.writeMarkdown(o.markdown); err != nil {
			return about(err, "bench: write %s", o.markdown)
		}
	}
	return a.result(b.out, func(w io.Writer) { b.out.print(w) })
}

func (b *bench) check() error {
	if b.benchOptions.nodes < 4 || b.benchOptions.nodes > 50 {
		return usagef("--nodes %d: want 4 to 50", b.benchOptions.nodes)
	}
	if b.small < 1 || b.small > 100_000 {
		return usagef("--small %d: want 1 to 100000", b.small)
	}
	for _, list := range []struct {
		flag   string
		counts []int
		least  int
	}{{"added", b.added, 1}, {"entries", b.entries, 10}, {"trees", b.benchOptions.trees, 1}} {
		for _, count := range list.counts {
			if count < list.least || count > 1_000_000 {
				return usagef("--%s %d: want %d to 1000000", list.flag, count, list.least)
			}
		}
	}
	for _, text := range b.sizes {
		size, err := config.ParseSize(text)
		if err != nil || size < 1<<20 {
			return usagef("--size %s: want a size of at least 1MiB", text)
		}
		b.bytes = append(b.bytes, int64(size))
	}
	if b.bucketFiles < 0 || b.bucketFiles > 100_000 {
		return usagef("--bucket-files %d: want 0 to 100000", b.bucketFiles)
	}
	slices.Sort(b.bytes)
	if b.markdown != "" {
		_, err := os.Stat(b.markdown) // before the measurements, not after them
		return about(err, "bench")
	}
	return nil
}

// run measures everything, one thing after the other.
func (b *bench) run(ctx context.Context) error {
	b.out.Machine = thisMachine()
	b.out.Nodes, b.out.Params = b.benchOptions.nodes, b.params()
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"start the grid", b.start},
		{"watch it idle", b.watchIdle},
		{"small files", b.smallFiles},
		{"large files", b.largeFiles}, // before what fills the nodes' caches, since their memory is measured
		{"a range of a large file", b.readRange},
		{"directories", b.names},
		{"trees of small files", b.smallTrees},
		{"with a stopped node", b.hung},
		{"a new node, and one that comes back", b.comings},
		{"a bucket", b.bucketLayout},
	}
	for _, step := range steps {
		b.app.note("bench: %s", step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// start founds the grid.
func (b *bench) start(ctx context.Context) error {
	begin := time.Now()
	if err := b.nodes.found(ctx, "bench", b.params(), b.benchOptions.nodes); err != nil {
		return err
	}
	b.out.Times.Start = time.Since(begin).Seconds()
	begin = time.Now()
	if _, err := b.nodes.grid.Run(ctx, "version"); err != nil {
		return err
	}
	b.out.Times.Command = time.Since(begin).Seconds()
	return nil
}

// watchIdle measures what a grid costs in which nothing happens.
func (b *bench) watchIdle(ctx context.Context) error {
	// The nodes have just met; what they do about that is over within the first seconds.
	if err := pause(ctx, min(b.idle, 5*time.Second)); err != nil {
		return err
	}
	cpu, begin := b.nodes.grid.Usage().CPU, time.Now()
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	used := b.nodes.grid.Usage().CPU - cpu
	b.out.Idle = used.Seconds() / time.Since(begin).Seconds()
	return nil
}

// pause waits for that long.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gateway returns a node to store or read through.
func (b *bench) gateway(i int) *localNode { return b.nodes.nodes[i] }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
