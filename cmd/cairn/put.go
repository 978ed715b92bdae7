package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

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
	private   bool
	blockSize string
}

func newPutCommand(a *app) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "put [FILE]",
		Short: "store a file, print its capability",
		Long: help(`Stores FILE on the grid and prints its capability, the only key to it: whoever has it can read the file, and nobody
else can. With - or without FILE, what comes on standard input is stored.

The same file stored again by this node takes no more space and gets the same capability, and an upload that was
interrupted goes on where it stopped when the command is run again. Not so with --private or from standard input,
which use a random key.

The upload succeeds when shares are on as many servers as --happy says. Files of at most 55 bytes are not stored at all:
the capability holds them.`, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn put holiday.mp4\n  tar c photos | cairn put -\n  cairn put --k 5 --n 12 --happy 9 thesis.pdf",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return runPut(cmd.Context(), a, o, name)
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.private, "private", false, "use a random key, so that storing the same file twice cannot be noticed")
	cmd.Flags().StringVar(&o.blockSize, "block-size", "", "`SIZE` of a block, a power of two such as 64KiB (default: by the number of shares)")
	return cmd
}

func runPut(ctx context.Context, a *app, o *putOptions, name string) error {
	request := control.PutRequest{Private: o.private, Size: -1}
	var err error
	if request.Params, err = o.params(share.DefaultParams(10)); err != nil {
		return err
	}
	if request.BlockSize, err = blockSize(o.blockSize); err != nil {
		return err
	}
	source, label, err := a.openSource(name)
	if err != nil {
		return err
	}
	defer source.Close()
	client, err := a.client()
	if err != nil {
		return about(err, "put %s", label)
	}
	defer client.Close()
	bar := a.progress()
	defer bar.done()
	if err := announce(ctx, source, &request, bar); err != nil {
		return about(err, "put %s", label)
	}
	result, err := client.Put(ctx, source, request, bar.show)
	bar.done()
	if err != nil {
		return about(explainPut(err, source, request.Size), "put %s", label)
	}
	if result.Total > 0 {
		a.note("%s: %s stored %s on %d servers", label, sizeText(result.Size), result.Params, result.Happiness)
	}
	if result.Resumed > 0 {
		a.note("%s of it were there already", sizeText(result.Resumed))
	}
	return a.result(result, func(w io.Writer) { fmt.Fprintln(w, result.Capability) })
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

// explainPut says that the file changed where this is why it could not be sent as announced.
func explainPut(err error, source *os.File, size int64) error {
	if info, failed := source.Stat(); failed == nil && info.Mode().IsRegular() && size >= 0 && info.Size() < size {
		return withHint(control.ErrChanged, "store it again when nothing writes to it")
	}
	return err
}

// openSource opens what is to be stored, and returns what to call it.
func (a *app) openSource(name string) (*os.File, string, error) {
	if name == "" && term.IsTerminal(int(a.in.Fd())) {
		return nil, "", usagef("put: name a file, or - for standard input")
	}
	if name == "" || name == "-" {
		return a.in, "standard input", nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, "", about(err, "put")
	}
	if info.IsDir() {
		return nil, "", withHint(usagef("put %s: it is a directory, and put stores one file", name),
			"pack it: tar c %s | %s", name, a.command("put -"))
	}
	source, err := os.Open(name)
	return source, name, about(err, "put")
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
	if request.Private {
		return nil
	}
	if err := announceHash(ctx, source, request, bar); err != nil {
		return err
	}
	_, err = source.Seek(start, io.SeekStart)
	return err
}

// announceHash reads the file for its digest, from which its key follows, and for the checksum with which the node finds out
// that the file changed since.
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
