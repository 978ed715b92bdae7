package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cairn/node/backup"
	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

// copyTreeUp copies a folder of this machine to the grid: under its own name into a directory that exists, and otherwise as
// the target.
func (a *app) copyTreeUp(ctx context.Context, o *cpOptions, source, target string) error {
	folder, err := filepath.Abs(source)
	if err != nil {
		return err
	}
	tree, err := localtree.Open(folder, localtree.Options{})
	if err != nil {
		return err
	}
	defer tree.Close()
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if target, err = copyTarget(ctx, client, source, target); err != nil {
		return err
	}
	known := transfer.Memory(forgetful{})
	m, files, err := a.memory(folder)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, m.Close()) }()
		known = files
	case !errors.Is(err, backup.ErrInUse):
		return err
	}
	grid := treeGrid{client: client, target: target, keep: o.keep}
	bar := a.progress()
	result, err := transfer.Up(ctx, transfer.UpOptions{
		Tree: tree, Store: grid, Folders: grid, Memory: known, Name: control.CheckName, Progress: bar.tree,
	})
	bar.done()
	if err != nil {
		return err
	}
	return a.copied("cp", treeResult{Source: source, Target: shownTarget(target), Counts: result.Counts}, result.Problems)
}

// copyTarget returns the directory that a copy of a folder becomes.
func copyTarget(ctx context.Context, client *control.Client, source, target string) (string, error) {
	e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
	if errors.Is(err, share.ErrNotFound) {
		return target, nil // home: too, before anything was put into it
	}
	if err != nil {
		return "", err
	}
	if !e.Directory() {
		return "", usagef("%s is a file, and %s is a folder", shownTarget(target), source)
	}
	if name := filepath.Base(filepath.Clean(source)); !contents(source) && name != string(filepath.Separator) {
		return below(target, name), nil
	}
	return target, nil
}

// contents reports whether a name of a folder means what is in it, and not the folder with its name.
func contents(name string) bool {
	last := name[strings.LastIndexAny(name, `/:`+string(filepath.Separator))+1:]
	return last == "." || last == ".."
}

// copyTreeDown copies a directory of the grid to this machine.
func (a *app) copyTreeDown(ctx context.Context, o *cpOptions, source, target string) error {
	return a.running("cp", func(client *control.Client) error {
		e, err := lookup(ctx, client, source)
		if err != nil {
			return err
		}
		if info, err := os.Stat(target); err == nil && info.IsDir() && nameOf(source) != "" && !contents(source) {
			target = filepath.Join(target, nameOf(source))
		}
		return a.down(ctx, client, "cp", e, target, o.keep)
	})
}

// down writes a directory of the grid to a folder.
func (a *app) down(ctx context.Context, client *control.Client, verb string, e control.Entry, target string, keep bool) error {
	root, err := capability.Parse(e.Capability)
	if err != nil {
		return err
	}
	bar := a.progress()
	result, err := transfer.Down(ctx, transfer.DownOptions{
		Source: treeGrid{client: client}, Root: root, Target: target, KeepExisting: keep, Progress: bar.tree,
	})
	bar.done()
	if err != nil {
		return err
	}
	return a.copied(verb, treeResult{Source: e.Path, Target: target, Counts: result.Counts}, result.Problems)
}

// copied tells what was done.
func (a *app) copied(verb string, r treeResult, problems []localtree.Problem) error {
	failed := a.told(verb, &r, problems)
	err := a.result(r, func(w io.Writer) {
		if !a.quiet {
			fmt.Fprintf(w, "%s: %s\n", r.Target, r.summary())
		}
	})
	return errors.Join(failed, err)
}

// isFolder reports whether a name on disk is that of a folder.
func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// isTree reports whether a target is a directory of the grid. What is not there is none.
func (a *app) isTree(ctx context.Context, target string) (bool, error) {
	var is bool
	err := a.running("cp", func(client *control.Client) error {
		e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
		is = e.Directory()
		if errors.Is(err, share.ErrNotFound) {
			return nil
		}
		return err
	})
	return is, err
}
