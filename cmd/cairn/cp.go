package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
)

// cpOptions say how to copy.
type cpOptions struct {
	recursive, keep, exact, verbose bool
	ask, links                      bool   // before something is replaced; to be copied as they are
	directory                       string // for all sources; empty where the target is the last argument
	repeats                         int
}

func newCpCommand(a *app) *cobra.Command {
	o := &cpOptions{}
	cmd := &cobra.Command{
		Use:        "cp SOURCE... TARGET",
		SuggestFor: []string{"copy"},
		Short:      "copy between disk and grid, and on the grid",
		Long: help(`Copies files from disk to the grid, from the grid to disk, or from one place on the grid to another: into TARGET
where that is a directory, and always where there are several. A SOURCE or TARGET is on the grid if it is a PATH; a
file on disk whose name has a colon is written ./NAME. A file that has the name already is replaced, a directory is
not. On the grid nothing is sent: a copy of an immutable file is another name for it, and other copies are new ones,
which change independently.

With -r directories are copied with what is in them: under their own name into a TARGET that exists, and otherwise as
TARGET; with -T always as TARGET, and so is what is in SOURCE if that is written SOURCE/. at the end. What has not
changed since is not sent again, nor fetched, and an interrupted copy goes on where it stopped. What cannot be copied
is passed over and named; the exit status is then 1. Links are copied as links; docs/cli.md says which are followed.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn cp plan.txt home:docs/\n  cairn cp home:docs/plan.txt .\n  cairn cp -r home:docs home:docs-2026",
		Args:    sourcesAndTarget,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.completeTargets(true)(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cpAll(cmd.Context(), o, args)
		},
	}
	a.copyFlag(cmd.Flags())
	habits(cmd.Flags(), "pf")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "copy directories with what is in them (also -R, -a)")
	also(cmd.Flags(), &o.recursive, "R", "a")
	verboseFlag(cmd.Flags(), &o.verbose)
	cmd.Flags().BoolVarP(&o.exact, "no-target-directory", "T", false, "copy as TARGET, and not into it where it is a directory")
	repeatsFlag(cmd.Flags(), &o.repeats)
	askFlag(cmd.Flags(), &o.ask)
	targetFlag(cmd.Flags(), &o.directory)
	cmd.Flags().BoolVarP(&o.links, "no-dereference", "P", false, "copy a symbolic link that is named as a link, also without -r")
	also(cmd.Flags(), &o.links, "d")
	cmd.Flags().BoolVarP(&o.keep, "no-clobber", "n", false, "do not replace what has the name already")
	return cmd
}

// cpAll copies several things.
func (a *app) cpAll(ctx context.Context, o *cpOptions, args []string) error {
	sources, target := split(args, o.directory)
	switch {
	case slices.Contains(args, ""):
		return usagef("cp: a name is empty")
	case o.exact && (len(sources) > 1 || o.directory != ""):
		return usagef("cp: with -T there is one SOURCE and one TARGET")
	case o.ask && o.recursive:
		return usagef("cp: -i asks before a file, and -r copies many; -n leaves what is there")
	case o.repeats < 1:
		return usagef("cp: --repeats %d: want 1 or more", o.repeats)
	}
	if control.OnGrid(target) {
		err := a.running("cp", func(client *control.Client) (err error) {
			target, err = into(ctx, client, target, len(sources) > 1 || o.directory != "")
			return err
		})
		if err != nil {
			return err
		}
	} else if info, err := os.Stat(target); len(sources) > 1 || o.directory != "" {
		if err != nil {
			return about(err, "cp")
		}
		if !info.IsDir() {
			return fmt.Errorf("cp: %s is not a folder, which files could be copied into", target)
		}
	}
	return forEach(a, "cp", sources, func(source string) error { return a.cp(ctx, o, source, target) })
}

// cp copies one thing.
func (a *app) cp(ctx context.Context, o *cpOptions, source, target string) error {
	switch from, to := control.OnGrid(source), control.OnGrid(target); {
	case from && to:
		return a.copyWithin(ctx, o, source, target)
	case from:
		return a.copyDown(ctx, o, source, target)
	case to:
		return a.copyUp(ctx, o, source, target)
	}
	return usagef("cp: neither %s nor %s is on the grid; a place there is named like %sdocs", source, target, homeTarget)
}

// copyWithin copies on the grid.
func (a *app) copyWithin(ctx context.Context, o *cpOptions, source, target string) error {
	return a.running("cp", func(client *control.Client) error {
		if yes, err := a.mayCopyUp(ctx, o, target, nameOf(source)); err != nil || !yes {
			return err
		}
		bar := a.progress()
		defer bar.done()
		a.lookEnded(ctx, client, source)
		request := control.CopyRequest{Source: source, Target: target, Recursive: o.recursive, Keep: o.keep, Exact: o.exact}
		result, err := client.Copy(ctx, request, bar.count)
		bar.done()
		if err != nil {
			return a.tellEnded(ctx, target, err)
		}
		a.noteIf(o.verbose, "%s is %s", shownTarget(source), result.Entry.Path)
		failed := a.skipped("cp", shownTarget(source), result.Skipped, int64(result.Problems), byItself(a, source, result))
		return errors.Join(failed, a.result(result, func(io.Writer) {}))
	})
}

// byItself says how to add to a copy on the grid what it lacks. The same command would copy into the copy.
func byItself(a *app, source string, result control.CopyResult) string {
	hint := "mend what keeps them from being copied, and copy each by itself"
	if len(result.Skipped) == 0 || strings.HasPrefix(source, "cairn:") || strings.HasPrefix(result.Entry.Path, "[") {
		return hint
	}
	first := result.Skipped[0].Path
	return hint + ": \"" + a.command(typed("cp", "-r", below(source, first), below(result.Entry.Path, first))) + "\""
}

// copyUp copies a file of this machine to the grid.
func (a *app) copyUp(ctx context.Context, o *cpOptions, source, target string) error {
	info, err := os.Lstat(source)
	if isLink := err == nil && info.Mode()&fs.ModeSymlink != 0; isLink && (o.recursive || o.links) {
		if o.exact {
			if err := a.noDirectory(ctx, target); err != nil {
				return err
			}
		}
		return a.tellEnded(ctx, target, about(a.copyLinkUp(ctx, o, source, target, info), "cp"))
	} else if isLink {
		info, err = os.Stat(source)
	}
	switch {
	case source == "-" || err != nil: // put says what is wrong
	case info.IsDir() && !o.recursive:
		return withHint(fmt.Errorf("cp: %s is a folder", source), copyRecursive)
	case info.IsDir():
		return about(a.copyTreeUp(ctx, o, source, target), "cp")
	case endless(info) && o.recursive:
		return fmt.Errorf("cp: %s: %w", source, localtree.ErrKind)
	case !info.Mode().IsRegular() && o.recursive:
		return withHint(fmt.Errorf("cp: %s: %w", source, localtree.ErrKind), "without -r, what it yields is stored")
	}
	if o.exact {
		if err := a.noDirectory(ctx, target); err != nil {
			return err
		}
	}
	if yes, err := a.mayCopyUp(ctx, o, target, filepath.Base(source)); err != nil || !yes {
		return err
	}
	put := &putOptions{keep: o.keep, verb: "cp", warn: a.note}
	quiet := *a
	quiet.out = io.Discard
	if a.json {
		quiet.out = a.out
	}
	quiet.quiet = a.quiet || !o.verbose
	return a.tellEnded(ctx, target, runPut(ctx, &quiet, put, source, target))
}

// mayCopyUp asks before something on the grid is replaced, where that is wanted.
func (a *app) mayCopyUp(ctx context.Context, o *cpOptions, target, name string) (yes bool, err error) {
	if !o.ask || o.keep {
		return true, nil
	}
	err = a.running("cp", func(client *control.Client) (err error) {
		yes, err = a.mayReplace(ctx, client, "cp", target, name, o.exact)
		return err
	})
	return yes, err
}

// copyLinkUp copies a symbolic link of this machine to the grid, as what it is.
func (a *app) copyLinkUp(ctx context.Context, o *cpOptions, source, target string, info fs.FileInfo) error {
	points, err := os.Readlink(source)
	if err != nil {
		return err
	}
	request := control.PutRequest{Size: int64(len(points)), Target: target, Name: filepath.Base(source), Keep: o.keep}
	request.Metadata.ContentType, request.Metadata.Modified = control.LinkContent, info.ModTime()
	if err := announceHash(ctx, strings.NewReader(points), &request, a.progress()); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := client.Put(ctx, strings.NewReader(points), request, nil)
	if err != nil {
		return err
	}
	if isFolder(source) {
		a.note("%s is a symbolic link and was copied as one; %s/ is the folder that it leads to", source, source)
	}
	return a.result(result, func(io.Writer) {})
}

// copyDown copies a file of the grid to this machine.
func (a *app) copyDown(ctx context.Context, o *cpOptions, source, target string) error {
	var e control.Entry
	err := a.running("cp", func(client *control.Client) (err error) {
		e, err = client.Lookup(ctx, control.LookupRequest{Target: source, Capabilities: true, Links: true})
		return err
	})
	switch {
	case err != nil:
		return err
	case e.Directory() && !o.recursive:
		return withHint(fmt.Errorf("cp: %s is a directory", shownTarget(source)), copyRecursive)
	case e.Directory():
		a.noteEnded(shownTarget(e.Path), e.Ended)
		return a.copyTreeDown(ctx, o, e, source, target)
	}
	output, inside := target, false
	if info, err := os.Stat(target); err == nil && info.IsDir() && !o.exact { // fetching says what a folder is in the way of
		name := nameOf(source)
		if name == "" {
			return usagef("cp: %s has no name: name the file in %s", shownTarget(source), target)
		}
		output, inside = filepath.Join(target, name), true
	}
	if _, err := os.Lstat(output); err == nil && o.keep {
		return fmt.Errorf("cp: %s exists already", output)
	}
	if o.ask && !o.keep {
		if yes, err := a.mayReplaceFile("cp", output); err != nil || !yes {
			return err
		}
	}
	if e.Type == control.TypeLink {
		return about(a.copyLink(e, output), "cp: %s", shownTarget(source))
	}
	err = runGet(ctx, a, &getOptions{output: output, inside: inside, verb: "cp"}, source)
	a.noteIf(err == nil && o.verbose && output != "-", "%s is %s", shownTarget(source), output)
	return err
}

// noDirectory returns an error when a target is a directory.
func (a *app) noDirectory(ctx context.Context, target string) error {
	return a.running("cp", func(client *control.Client) error {
		e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
		if err == nil && e.Directory() {
			err = usagef("%s is a directory, which a file does not replace", shownTarget(target))
		}
		if errors.Is(err, share.ErrNotFound) {
			err = nil
		}
		return err
	})
}

// copyRecursive is the next step where a whole directory is meant.
const copyRecursive = "copy it with what is in it: cp -r"

// copyLink makes a symbolic link as it was on the disk that it came from.
func (a *app) copyLink(e control.Entry, output string) error {
	if e.Link == "" {
		return errors.New("where the link points could not be read")
	}
	if output == "-" {
		return errors.New("it is a symbolic link, which standard output cannot be")
	}
	transfer.Sweep(transfer.Paths{}, filepath.Dir(output))
	if err := transfer.PutLink(transfer.Paths{}, e.Link, output); err != nil {
		return err
	}
	return a.result(gotten{Path: e.Path, Output: output, Bytes: e.Size}, func(io.Writer) {})
}

// shownTarget returns a target without keys.
func shownTarget(text string) string {
	if t, err := control.ParseTarget(text); err == nil {
		return t.String()
	}
	return "it"
}
