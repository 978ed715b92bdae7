package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/share/capability"
)

// rangeFlags select a part of a file.
type rangeFlags struct {
	offset, length string
}

func (r *rangeFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&r.offset, "offset", "", "begin `SIZE` into the file, such as 4096 or 10MiB")
	flags.StringVar(&r.length, "length", "", "read `SIZE`, such as 64KiB")
}

// part returns the offset and the length asked for; a negative length means all that follows.
func (r *rangeFlags) part() (offset, length int64, err error) {
	length = -1
	if r.offset != "" {
		size, err := config.ParseSize(r.offset)
		if err != nil {
			return 0, 0, usagef("--offset: %w", err)
		}
		offset = int64(size)
	}
	if r.length != "" {
		size, err := config.ParseSize(r.length)
		if err != nil {
			return 0, 0, usagef("--length: %w", err)
		}
		length = int64(size)
	}
	return offset, length, nil
}

// getOptions say what to read and where to put it.
type getOptions struct {
	rangeFlags
	output string
	bytes  string
	inside bool   // output is in the folder that the person named: a link with its name is replaced, and not followed
	verb   string // for messages, if it is not get
}

// gotten says what was written where.
type gotten struct {
	Path   string `json:"path,omitempty"` // of the file on the grid, where it was named by one
	Output string `json:"output"`
	Bytes  int64  `json:"bytes"` // that were written
}

func newGetCommand(a *app) *cobra.Command {
	o := &getOptions{}
	cmd := &cobra.Command{
		Use:   "get CAPABILITY|PATH [-o FILE]",
		Short: "read a file from the grid",
		Long: help(`Reads a file, or a part of it, through the running node. Every byte is checked against the capability before it is
written. FILE appears when all of it is there; on failure nothing is left behind and a FILE that was there before is
untouched. With -o - the bytes go to standard output as they come.

A file that is named by a path keeps its time and may be executed if it could be when it was stored. Without -o it
gets its own name in the current folder, if nothing has that yet.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn get cairn:file:bafy... -o copy.mp4\n  cairn get home:docs/plan.txt\n  cairn get cairn:file:bafy... -o - | tar x",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGet(cmd.Context(), a, o, args[0])
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "`FILE` to write to; - is standard output")
	cmd.Flags().StringVar(&o.bytes, "range", "", "read only bytes `FIRST-LAST`, counted from 0")
	o.addFlags(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("range", "offset")
	cmd.MarkFlagsMutuallyExclusive("range", "length")
	cmd.MarkFlagFilename("output")
	return cmd
}

func newCatCommand(a *app) *cobra.Command {
	o := &getOptions{output: "-", verb: "cat"}
	cmd := &cobra.Command{
		Use:   "cat CAPABILITY|PATH...",
		Short: "write files of the grid to standard output",
		Long: help("Writes files, or a part of each, to standard output as their bytes come. It is \"cairn get -o -\".\n\n"+pathHelp,
			statusNotFound, statusNotEnough, statusRefused),
		Example:           "  cairn cat home:docs/plan.txt\n  cairn cat cairn:file:bafy... --offset 1GiB --length 64KiB",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTargets(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(a, "cat", args, func(text string) error { return runGet(cmd.Context(), a, o, text) })
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// standardOutput are the names that systems have for standard output.
var standardOutput = []string{"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}

func runGet(ctx context.Context, a *app, o *getOptions, text string) error {
	verb := cmp.Or(o.verb, "get")
	if slices.Contains(standardOutput, o.output) {
		o.output = "-" // as a file it would be replaced, and not written to
	}
	offset, length, err := o.part()
	if err != nil {
		return err
	}
	if o.bytes != "" {
		if offset, length, err = parseRange(o.bytes); err != nil {
			return err
		}
	}
	if !bare(text) && control.OnGrid(text) {
		return a.getPath(ctx, o, text, offset, length)
	}
	if !strings.HasPrefix(text, "cairn:") {
		return withHint(usagef("%s: %q is no place on the grid", verb, text), "name one like %s%s, or give a capability", homeTarget, strings.TrimLeft(text, "/"))
	}
	open, err := parseCapability(text)
	if err != nil {
		return err
	}
	if o.output == "" {
		return withHint(usagef("%s %s: no place to write to", verb, open), "-o FILE writes to a file, -o - to standard output")
	}
	if err := readable(open); err != nil {
		return about(err, "%s %s", verb, open)
	}
	from := func() (source, error) { return a.open(ctx, open, offset, length) }
	written, err := a.fetch(o.output, o.inside, from)
	if err != nil {
		return about(err, "%s %s", verb, open)
	}
	return a.fetched(gotten{Output: o.output, Bytes: written})
}

// getPath reads a file that is named by a path.
func (a *app) getPath(ctx context.Context, o *getOptions, path string, offset, length int64) error {
	output := o.output
	if output == "" {
		if output = nameOf(path); output == "" {
			return withHint(usagef("%s: %s has no name that the file could get", cmp.Or(o.verb, "get"), strings.TrimSuffix(shownTarget(path), ":")),
				"-o FILE names it, -o - is standard output; a directory is copied with \"cairn cp -r\"")
		}
		if _, err := os.Lstat(output); err == nil {
			return withHint(usagef("get: %s exists already", output), "-o FILE writes to another file or replaces this one, -o - to standard output")
		}
	}
	return a.running(cmp.Or(o.verb, "get"), func(client *control.Client) error {
		var entry control.Entry
		written, err := a.fetch(output, o.inside, func() (source, error) {
			d, err := client.GetAt(ctx, path, offset, length)
			if err != nil {
				return nil, err
			}
			entry = d.Entry
			a.noteEnded(shownTarget(path), d.Ended)
			return download{d, nil}, nil
		})
		if err != nil || output == "-" {
			return err
		}
		if err := keepMetadata(output, entry); err != nil {
			return err
		}
		return a.fetched(gotten{Path: entry.Path, Output: output, Bytes: written})
	})
}

// fetched tells programs what was written, unless the bytes went where they would read of it.
func (a *app) fetched(done gotten) error {
	if done.Output == "-" {
		return nil
	}
	return a.result(done, func(io.Writer) {})
}

// keepMetadata gives a file on disk the time that it had when it was stored, and lets it be executed if it could be.
func keepMetadata(path string, e control.Entry) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if e.Executable {
		readers := info.Mode().Perm() & 0o444 >> 2
		if err := os.Chmod(path, info.Mode().Perm()|readers); err != nil {
			return err
		}
	}
	if e.Modified.IsZero() {
		return nil
	}
	return os.Chtimes(path, time.Time{}, e.Modified)
}

// fetch writes a source to where it shall go, and returns how many bytes that were. A link that is inside of the folder which a
// person named is not followed.
func (a *app) fetch(output string, inside bool, open func() (source, error)) (written int64, err error) {
	to := &target{w: a.out}
	if output != "-" {
		if to, err = newTarget(output, inside); err != nil {
			return 0, err
		}
	}
	from, err := open()
	if err == nil {
		written, err = a.copy(to, from, output != "-")
		err = errors.Join(err, from.Close())
	}
	return written, to.end(err)
}

// copy writes all of a source. Progress is drawn unless the terminal may be where the bytes go.
func (a *app) copy(to *target, from source, draw bool) (int64, error) {
	if !draw {
		return from.WriteTo(to.w)
	}
	bar := a.progress()
	defer bar.done()
	m := &meter{w: to.w, bar: bar, total: -1}
	if d, ok := from.(download); ok {
		m.total = d.Length
	}
	return from.WriteTo(m)
}

// A source is a file that can be written somewhere.
type source interface {
	io.WriterTo
	io.Closer
}

// open begins to read a part of what a capability opens. A literal needs no node.
func (a *app) open(ctx context.Context, c capability.Capability, offset, length int64) (source, error) {
	if data, ok := c.Data(); ok {
		if offset > int64(len(data)) {
			return nil, usagef("offset %d is behind the end of the file, which has %d bytes", offset, len(data))
		}
		data = data[offset:]
		if length >= 0 {
			data = data[:min(length, int64(len(data)))]
		}
		return literal(data), nil
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	d, err := client.Get(ctx, c, offset, length)
	if err != nil {
		client.Close()
		return nil, err
	}
	a.noteEnded(c.String(), d.Ended)
	return download{d, client}, nil
}

type literal []byte

func (l literal) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(l)
	return int64(n), err
}

func (l literal) Close() error { return nil }

type download struct {
	*control.Download
	client *control.Client // closed with it; nil where somebody else does
}

func (d download) Close() error {
	if d.client != nil {
		defer d.client.Close()
	}
	return d.Download.Close()
}

// A meter counts what is written and shows it.
type meter struct {
	w           io.Writer
	bar         *progress
	done, total int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.done += int64(n)
	m.bar.show(control.Progress{Note: "reading", Done: m.done, Total: m.total})
	return n, err
}

// parseRange reads FIRST-LAST or FIRST-.
func parseRange(text string) (offset, length int64, err error) {
	first, last, ok := strings.Cut(text, "-")
	bad := usagef("--range %s: want FIRST-LAST, such as 0-4095, or FIRST-", text)
	from, err := strconv.ParseInt(first, 10, 64)
	if !ok || err != nil || from < 0 {
		return 0, 0, bad
	}
	if last == "" {
		return from, -1, nil
	}
	to, err := strconv.ParseInt(last, 10, 64)
	if err != nil || to < from || to-from == 1<<63-1 {
		return 0, 0, bad
	}
	return from, to - from + 1, nil
}

// parseCapability reads a capability from the command line.
func parseCapability(text string) (capability.Capability, error) {
	c, err := capability.Parse(text)
	if err != nil {
		return c, withHint(err, "copy the whole line that \"cairn put\" printed")
	}
	return c, nil
}

// readable checks that the capability reads a file.
func readable(c capability.Capability) error {
	switch c.Kind() {
	case capability.KindFile, capability.KindLiteral, capability.KindMutable, capability.KindMutableRead:
		return nil
	case capability.KindFileVerify, capability.KindMutableVerify:
		return withHint(fmt.Errorf("%w: a verify capability finds, checks and repairs a file, but does not read it", capability.ErrAuthority),
			"ask whoever stored the file for its read capability")
	}
	return c.Want(capability.KindFile)
}
