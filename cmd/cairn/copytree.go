package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cairn/node/backup"
	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

// placeEvery is how often what was copied gets its name while a large folder is being copied.
const placeEvery = 30 * time.Second

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
	a.lookWhereTo(ctx, client, target)
	typed := target
	target, made, err := copyTarget(ctx, client, o, source, target)
	if err != nil {
		return err
	}
	next := a.resumeCopy(o, source, typed, made)
	known := transfer.Memory(forgetful{})
	m, files, err := a.memory(folder)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, m.Close()) }()
		known = files
		if err := review(ctx, client, files); err != nil {
			return err
		}
	case !errors.Is(err, backup.ErrInUse):
		return err
	}
	grid := treeGrid{client: client, places: newPlaces(client, target), keep: o.keep}
	if e, err := client.Lookup(ctx, control.LookupRequest{Target: target}); err == nil {
		grid.places.shut = a.internalsOf(ctx, client, e)
	}
	bar := a.progress()
	result, err := transfer.Up(ctx, transfer.UpOptions{
		Tree: tree, Store: grid, Folders: grid, Memory: known, Name: control.CheckName, Every: placeEvery, Progress: bar.tree,
	})
	bar.done()
	if err != nil && result.Counts == (transfer.Counts{}) && ctx.Err() == nil {
		return err
	}
	if err != nil {
		return next.after(ctx, err)
	}
	if result.Counts.Moved > 0 {
		a.noteAlone(ctx, client)
	}
	return a.copied("cp", treeResult{Source: source, Target: shownTarget(target), Counts: result.Counts}, result.Problems, next.hint())
}

// copyTarget returns the directory that a copy of a folder becomes, and whether that is made by the copy under the name that was typed.
func copyTarget(ctx context.Context, client *control.Client, o *cpOptions, source, target string) (_ string, made bool, _ error) {
	e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
	if errors.Is(err, share.ErrNotFound) {
		return target, true, mayMake(ctx, client, target)
	}
	if err != nil {
		return "", false, err
	}
	if !e.Directory() {
		return "", false, usagef("%s is a file, and %s is a folder", shownTarget(target), source)
	}
	if err := mayChange(e); err != nil {
		return "", false, about(err, "%s", shownTarget(target))
	}
	if name := filepath.Base(filepath.Clean(source)); !o.exact && !contents(source) && name != string(filepath.Separator) {
		return below(target, name), false, nil
	}
	return target, false, nil
}

// mayMake returns an error when a directory that is not there cannot be made, before all that goes into it is stored. Where nothing is known
// it returns none: home: is not there before anything was put into it.
func mayMake(ctx context.Context, client *control.Client, target string) error {
	name := nameOf(target)
	if name == "" {
		return nil
	}
	in := above(target)
	e, err := client.Lookup(ctx, control.LookupRequest{Target: in})
	if err != nil || !e.Directory() {
		return nil //nolint:nilerr // making it tells what is wrong
	}
	return about(mayChange(e), "%s", shownTarget(in))
}

// mayChange returns an error unless a directory can be changed.
func mayChange(e control.Entry) error {
	switch {
	case e.Kind == capability.KindIDir.String():
		return fmt.Errorf("%w: the directory is immutable, nobody can change it", share.ErrReadOnly)
	case !e.Writable:
		return fmt.Errorf("%w: the directory is open for reading only here; its write capability (cairn:dir:…) would do", capability.ErrAuthority)
	}
	return nil
}

// contents reports whether a name of a folder means what is in it, and not the folder with its name.
func contents(name string) bool {
	last := name[strings.LastIndexAny(name, `/:`+string(filepath.Separator))+1:]
	return last == "." || last == ".."
}

// copyTreeDown copies a directory of the grid to this machine.
func (a *app) copyTreeDown(ctx context.Context, o *cpOptions, e control.Entry, source, target string) error {
	return a.running("cp", func(client *control.Client) error {
		options := transfer.DownOptions{Target: target, KeepExisting: o.keep, Repeats: o.repeats}
		info, missing := os.Stat(target)
		if missing == nil && info.IsDir() && !o.exact && !contents(source) {
			options.Name = nameOf(source)
		}
		if nameOf(source) == "" {
			options.Omit = a.internalsOf(ctx, client, e)
		}
		return a.down(ctx, client, "cp", e, options, a.resumeCopy(o, source, target, missing != nil))
	})
}

// internalsOf returns the names in a directory that are not copied with the rest of it.
func (a *app) internalsOf(ctx context.Context, client *control.Client, e control.Entry) []string {
	home, err := client.Lookup(ctx, control.LookupRequest{Target: homeTarget})
	if err != nil || home.ID != e.ID {
		return nil
	}
	return []string{control.Internals}
}

// down writes a directory of the grid to a folder.
func (a *app) down(ctx context.Context, client *control.Client, verb string, e control.Entry, o transfer.DownOptions, next resumption) (err error) {
	if o.Root, err = capability.Parse(e.Capability); err != nil {
		return err
	}
	folder, err := filepath.Abs(filepath.Join(o.Target, o.Name))
	if err != nil {
		return err
	}
	versions := &versionMemory{a: a, folder: folder}
	defer func() { err = errors.Join(err, versions.Close()) }()
	bar := a.progress()
	o.Source, o.Progress, o.Memory = treeGrid{client: client}, bar.tree, versions
	result, err := transfer.Down(ctx, o)
	bar.done()
	err = atPath(err, o.Root, e.Path)
	if repeats, ok := errors.AsType[*transfer.RepeatsError](err); ok {
		return withHint(err, "look at %s with \"cairn tree\"; if it is to be so, \"--repeats %d\" copies more of it", e.Path, 10*repeats.Limit)
	}
	if err != nil && result.Counts == (transfer.Counts{}) && ctx.Err() == nil {
		return err // nothing was begun
	}
	if err != nil {
		return next.after(ctx, err)
	}
	return a.copied(verb, treeResult{Source: e.Path, Target: filepath.Join(o.Target, o.Name), Counts: result.Counts}, result.Problems, next.hint())
}

// copied tells what was done.
func (a *app) copied(verb string, r treeResult, problems []localtree.Problem, hint string) error {
	failed := a.told(verb, &r, problems, hint)
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
