package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cairn/internal/predicate"
	"cairn/node/control"
)

// errQuit ends find without an error.
var errQuit = errors.New("ended by -quit")

// maxBatch bounds the paths of one command of -exec {} +, in bytes.
const maxBatch = 64 << 10

// A batchOfPaths are those that one command gets.
type batchOfPaths struct {
	command []string
	paths   []string
	bytes   int
}

var _ predicate.Actions = (*finder)(nil)

// Print prints the path of what was found.
func (f *finder) Print(t predicate.Thing, zero bool) error {
	if f.a.json {
		return f.encoder.Encode(f.current.entry)
	}
	end, path := "\n", t.Path
	if zero {
		end = "\x00"
	} else if f.a.outTerminal() {
		path = visible(path)
	}
	_, err := fmt.Fprint(f.a.out, path+end)
	return err
}

// Delete takes the name of what was found out of its directory. The root of a path has none, and is left alone.
func (f *finder) Delete(predicate.Thing) (bool, error) {
	path := f.current.entry.Path
	if nameOf(path) == "" {
		return true, nil
	}
	_, err := f.client.Remove(f.ctx, control.RemoveRequest{Target: path, Empty: true})
	if err == nil && f.current.rest != "" {
		f.removed(parentOf(f.current.rest))
	}
	return f.went(err)
}

// removed notes that something is gone from a directory, which comes later.
func (f *finder) removed(directory string) {
	f.left[directory]--
	if f.left[directory] == 0 && (f.x.MaxDepth < 0 || depthOf(directory) < f.x.MaxDepth) {
		f.emptied[directory] = true
	}
}

// went tells at once what could not be done, unless all is ending, and has find go on.
func (f *finder) went(err error) (bool, error) {
	if err == nil {
		return true, nil
	}
	if errors.Is(err, context.Canceled) || f.ctx.Err() != nil {
		return false, err
	}
	f.a.report(about(err, "find"))
	f.failed = firstError(f.failed, &silentError{err})
	return false, nil
}

// Execute runs a command with the path for {}. That it fails is an answer, and no error.
func (f *finder) Execute(t predicate.Thing, command []string) (bool, error) {
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = strings.ReplaceAll(word, "{}", t.Path)
	}
	err := f.run(words)
	if _, answered := errors.AsType[*exec.ExitError](err); answered {
		return false, nil
	}
	return f.went(err)
}

// Gather notes a path for a command that takes many, and runs it when they are enough.
func (f *finder) Gather(t predicate.Thing, command []string) error {
	var batch *batchOfPaths
	for _, b := range f.batches {
		if &b.command[0] == &command[0] {
			batch = b
		}
	}
	if batch == nil {
		batch = &batchOfPaths{command: command}
		f.batches = append(f.batches, batch)
	}
	if batch.bytes+len(t.Path) > maxBatch {
		if err := f.flush(batch); err != nil {
			return err
		}
	}
	batch.paths, batch.bytes = append(batch.paths, t.Path), batch.bytes+len(t.Path)+1
	return nil
}

// runGathered runs the commands of which paths are left.
func (f *finder) runGathered() error {
	for _, b := range f.batches {
		if err := f.flush(b); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) flush(b *batchOfPaths) error {
	if len(b.paths) == 0 {
		return nil
	}
	err := f.run(append(b.command[:len(b.command):len(b.command)], b.paths...))
	b.paths, b.bytes = nil, 0
	_, err = f.went(err)
	return err
}

// run runs a program of this machine. A cairn that it runs works with the same node.
func (f *finder) run(words []string) error {
	dir, err := filepath.Abs(f.a.dir)
	if err != nil {
		return err
	}
	program := exec.CommandContext(f.ctx, words[0], words[1:]...) //nolint:gosec // the person named it
	program.Env = append(os.Environ(), dirVariable+"="+dir)
	program.Stdin, program.Stdout, program.Stderr = f.a.in, f.a.out, f.a.err
	if err := program.Run(); err != nil {
		return fmt.Errorf("-exec %s: %w", words[0], err)
	}
	return nil
}
