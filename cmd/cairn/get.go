package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

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
}

func newGetCommand(a *app) *cobra.Command {
	o := &getOptions{}
	cmd := &cobra.Command{
		Use:   "get CAPABILITY -o FILE",
		Short: "read a file from the grid",
		Long: help(`Reads a file, or a part of it, through the running node. Every byte is checked against the capability before it is
written. FILE appears when all of it is there; on failure nothing is left behind and a FILE that was there before is
untouched. With -o - the bytes go to standard output as they come.`, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn get cairn:file:bafy... -o copy.mp4\n  cairn get cairn:file:bafy... -o - | tar x",
		Args:    cobra.ExactArgs(1),
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
	o := &getOptions{output: "-"}
	cmd := &cobra.Command{
		Use:   "cat CAPABILITY",
		Short: "write a file of the grid to standard output",
		Long: help(`Writes a file, or a part of it, to standard output as its bytes come. It is "cairn get -o -".`,
			statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn cat cairn:file:bafy... --offset 1GiB --length 64KiB",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGet(cmd.Context(), a, o, args[0])
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func runGet(ctx context.Context, a *app, o *getOptions, text string) error {
	open, err := parseCapability(text)
	if err != nil {
		return err
	}
	if o.output == "" {
		return withHint(usagef("get %s: no place to write to", open), "-o FILE writes to a file, -o - to standard output")
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
	if err := readable(open); err != nil {
		return about(err, "get %s", open)
	}
	return about(a.fetch(ctx, o, open, offset, length), "get %s", open)
}

// fetch writes a part of what a capability opens to where it shall go.
func (a *app) fetch(ctx context.Context, o *getOptions, open capability.Capability, offset, length int64) error {
	to := &target{w: a.out}
	if o.output != "-" {
		var err error
		if to, err = newTarget(o.output); err != nil {
			return err
		}
	}
	from, err := a.open(ctx, open, offset, length)
	if err == nil {
		err = a.copy(to, from, o.output != "-")
		err = errors.Join(err, from.Close())
	}
	return to.end(err)
}

// copy writes all of a source. Progress is drawn unless the terminal may be where the bytes go.
func (a *app) copy(to *target, from source, draw bool) error {
	if !draw {
		_, err := from.WriteTo(to.w)
		return err
	}
	bar := a.progress()
	defer bar.done()
	m := &meter{w: to.w, bar: bar, total: -1}
	if d, ok := from.(download); ok {
		m.total = d.Length
	}
	_, err := from.WriteTo(m)
	return err
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
	client *control.Client
}

func (d download) Close() error {
	defer d.client.Close()
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
	case capability.KindFile, capability.KindLiteral:
		return nil
	case capability.KindFileVerify:
		return withHint(fmt.Errorf("%w: a verify capability finds, checks and repairs a file, but does not read it", capability.ErrAuthority),
			"ask whoever stored the file for its read capability")
	}
	return c.Want(capability.KindFile)
}
