package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/encoding"
)

// hashBuffer is the size of the pieces in which a file is read to hash it.
const hashBuffer = 256 << 10 // fits the processor's cache, since it is read twice

// putOptions say how to store a file.
type putOptions struct {
	paramsFlags
	retain    retainFlags
	retention control.Retention
	private   bool
	alone     bool
	blockSize string
	mutable   bool
	keep      bool
	offset    string
	mediaType string
	verb      string                           // for messages, if it is not put
	warn      func(format string, args ...any) // if not as all else that is noted
}

func newPutCommand(a *app) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "put [FILE] [PATH]",
		Short: "store a file, print its capability",
		Long: help(`Stores FILE on the grid and prints its capability, the only key to it: whoever has it can read the file, and nobody
else can. With - or without FILE, what comes on standard input is stored. With PATH the file gets a name in a directory
of the grid: in one that exists, or where PATH ends with a slash, its own name; what has the name is replaced.

With --mutable its contents can be changed later: a put to its path, or to its write capability, writes the next
version, and with --offset only a part of it. An upload that was interrupted goes on where it stopped when the same
command is run again, but for --private and standard input. It succeeds when shares are on as many servers as --happy
says. docs/cli.md has the rest.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn put plan.txt home:docs/\n  tar c photos | cairn put - home:photos.tar\n  cairn put --mutable notes.txt home:notes.txt",
		Args:    cobra.MaximumNArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeTargets(false)(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.retention, err = o.retain.retention(cmd.Flags()); err != nil {
				return err
			}
			args = append(args, "", "")
			return a.tellEnded(cmd.Context(), args[1], runPut(cmd.Context(), a, o, args[0], args[1]))
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.private, "private", false, "use a random key, so that storing the same file twice cannot be noticed")
	cmd.Flags().BoolVar(&o.alone, "alone", false, "store on the disk of this node even though the grid does not admit it")
	cmd.Flags().StringVar(&o.blockSize, "block-size", "", "`SIZE` of a block, a power of two such as 64KiB (default: by the number of shares)")
	cmd.Flags().BoolVar(&o.mutable, "mutable", false, "store a file that can be changed")
	o.retain.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&o.keep, "no-clobber", "n", false, "do not replace what has the name already")
	cmd.Flags().StringVar(&o.offset, "offset", "", "write into a mutable file `SIZE` from its start, and leave the rest of it")
	cmd.Flags().StringVar(&o.mediaType, "content-type", "", "`TYPE` of the contents (default: by the file's name)")
	a.copyFlag(cmd.Flags())
	for _, other := range []string{"mutable", "keep-versions", "keep-for"} {
		cmd.MarkFlagsMutuallyExclusive("offset", other)
	}
	return cmd
}

// request returns what the flags ask for.
func (o *putOptions) request(name, target string) (control.PutRequest, error) {
	request := control.PutRequest{Private: o.private, Alone: o.alone, Size: -1, Target: target, Mutable: o.mutable, Keep: o.keep, Retention: o.retention}
	if o.offset != "" {
		size, err := config.ParseSize(o.offset)
		if err != nil {
			return request, usagef("--offset: %w", err)
		}
		if target == "" {
			return request, usagef("--offset: name the mutable file to write into behind the file")
		}
		offset := int64(size)
		request.Patch = &offset
	}
	if target == "" && o.retention != (control.Retention{}) && !o.mutable {
		return request, usagef("put: only a mutable file has past versions that can be kept: give --mutable too")
	}
	if target == "" {
		return request, nil
	}
	if !control.OnGrid(target) {
		return request, withHint(usagef("put: %s is no place on the grid", target), "name one like %s%s", homeTarget, strings.TrimLeft(target, "/"))
	}
	request.Metadata.ContentType = o.mediaType
	if name != "" && name != "-" {
		request.Name = filepath.Base(name)
	}
	return request, nil
}

// describeFile adds what the disk tells of a file.
func describeFile(source *os.File, request *control.PutRequest) {
	if request.Target == "" {
		return
	}
	if info, err := source.Stat(); err == nil && info.Mode().IsRegular() {
		request.Metadata.Modified = info.ModTime()
		request.Metadata.Executable = info.Mode().Perm()&0o100 != 0
	}
	if request.Metadata.ContentType == "" {
		name := nameOf(request.Target)
		if strings.HasSuffix(request.Target, "/") || filepath.Ext(name) == "" {
			name = request.Name
		}
		request.Metadata.ContentType = mime.TypeByExtension(filepath.Ext(name))
	}
}

func runPut(ctx context.Context, a *app, o *putOptions, name, target string) error {
	request, err := o.request(name, target)
	if err != nil {
		return err
	}
	if _, err = o.params(share.DefaultParams(10)); err != nil { // told before a node is asked
		return err
	}
	if request.BlockSize, err = blockSize(o.blockSize); err != nil {
		return err
	}
	verb := cmp.Or(o.verb, "put")
	source, label, err := a.openSource(verb, name, target)
	if err != nil {
		return err
	}
	defer source.Close()
	describeFile(source, &request)
	client, err := a.client()
	if err != nil {
		return about(err, "%s %s", verb, label)
	}
	defer client.Close()
	if request.Params, err = o.fitting(ctx, client.Grid); err != nil {
		return about(err, "%s %s", verb, label)
	}
	bar := a.progress()
	defer bar.done()
	before, _ := source.Stat() // announce fails where this does
	if err := announce(ctx, source, &request, bar); err != nil {
		return about(err, "%s %s", verb, label)
	}
	result, err := client.Put(ctx, source, request, bar.show)
	bar.done()
	changed := changedSince(source, before)
	if err != nil && changed && statusOf(err) == statusFailed {
		err = control.ErrChanged
	}
	if err != nil {
		return about(err, "%s %s", verb, label)
	}
	a.noteStored(label, result)
	if result.Warning != "" {
		warn := a.note
		if o.warn != nil {
			warn = o.warn
		}
		warn("warning: %s", result.Warning)
	}
	err = a.result(result, func(w io.Writer) { fmt.Fprintln(w, result.Capability) })
	if changed {
		err = errors.Join(about(control.ErrChanged, "%s %s: what was read is stored, but", verb, label), err)
	}
	return err
}

// noteStored tells a person where a file went.
func (a *app) noteStored(label string, result control.PutResult) {
	if result.Happiness > 0 {
		a.note("%s: %s stored %s on %d servers", label, sizeText(result.Size), result.Params, result.Happiness)
	}
	if result.Path != "" {
		where := result.Path
		if result.Version > 1 {
			where += fmt.Sprintf(", version %d", result.Version)
		}
		a.note("%s is %s", label, where)
	}
	if result.Resumed > 0 {
		a.note("%s of it were there already", sizeText(result.Resumed))
	}
}

// blockSize reads a block size; 0 is the default.
func blockSize(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	size, err := config.ParseSize(text)
	if err == nil && (size > encoding.MaxBlockSize || !encoding.ValidBlockSize(int(size))) {
		err = fmt.Errorf("%s: want a power of two from 4KiB to 1MiB", text)
	}
	if err != nil {
		return 0, usagef("--block-size: %w", err)
	}
	return int(size), nil
}

// changedSince reports whether a regular file is longer, shorter or newer than it was.
func changedSince(source *os.File, before os.FileInfo) bool {
	after, err := source.Stat()
	return err == nil && after.Mode().IsRegular() && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()))
}

// openSource opens what is to be stored, and returns what to call it.
func (a *app) openSource(verb, name, target string) (*os.File, string, error) {
	if name == "" && term.IsTerminal(int(a.in.Fd())) {
		return nil, "", usagef("put: name a file, or - for standard input")
	}
	if name == "" || name == "-" {
		return a.in, "standard input", nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, "", about(err, "%s", verb)
	}
	if info.IsDir() {
		return nil, "", withHint(usagef("put %s: it is a directory, and put stores one file", name),
			"pack it: tar c %s | %s", name, a.command("put -"))
	}
	if endless(info) {
		words := slices.DeleteFunc([]string{verb, "-", target}, func(word string) bool { return word == "" })
		return nil, "", withHint(fmt.Errorf("%s: %s is a device, which may have no end", verb, name),
			"what has one is stored from standard input: %s < %s", a.command(typed(words...)), typed(name))
	}
	source, err := os.Open(name)
	return source, name, about(err, "%s", verb)
}

// endless reports whether a file is a device that may be read forever. A terminal is not, nor is the null device.
func endless(info os.FileInfo) bool {
	if info.Mode()&os.ModeDevice == 0 {
		return false
	}
	for _, name := range []string{os.DevNull, "/dev/tty"} {
		if other, err := os.Stat(name); err == nil && os.SameFile(info, other) {
			return false
		}
	}
	for _, file := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if other, err := file.Stat(); err == nil && os.SameFile(info, other) && term.IsTerminal(int(file.Fd())) {
			return false
		}
	}
	return true
}

// announce tells the node the size and the digest of a regular file, so that its key depends on the contents and an
// interrupted upload can go on.
func announce(ctx context.Context, source *os.File, request *control.PutRequest, bar *progress) error {
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	// Standard input may stand somewhere in the file.
	start, err := source.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	request.Size = max(0, info.Size()-start)
	if request.Private || request.Mutable || request.Patch != nil {
		return nil
	}
	if err := announceHash(ctx, source, request, bar); err != nil {
		return err
	}
	_, err = source.Seek(start, io.SeekStart)
	return err
}

// announceHash reads the file for its digest, from which its key follows, and for the checksum with which the node finds out
// that the file changed since. It returns control.ErrChanged when the file is not as long as was announced.
func announceHash(ctx context.Context, r io.Reader, request *control.PutRequest, bar *progress) error {
	digest, checksum := sha256.New(), xxhash.New()
	buffer := make([]byte, hashBuffer)
	var done int64
	for {
		n, err := r.Read(buffer)
		digest.Write(buffer[:n])
		_, _ = checksum.Write(buffer[:n])
		done += int64(n)
		bar.show(control.Progress{Note: "hashing", Done: done, Total: request.Size})
		if err == io.EOF && done != request.Size || done > request.Size {
			return control.ErrChanged
		}
		if err == io.EOF {
			sum, check := share.Digest(digest.Sum(nil)), checksum.Sum64()
			request.Digest, request.Checksum = &sum, &check
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}
