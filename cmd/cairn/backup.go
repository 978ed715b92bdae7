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

	"github.com/spf13/cobra"

	"cairn/node/backup"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/node/localtree"
	"cairn/node/transfer"
	"cairn/share"
	"cairn/share/capability"
)

// maxPatterns bounds a file of patterns.
const maxPatterns = 1 << 20

// backupOptions say what a backup leaves out.
type backupOptions struct {
	exclude       []string
	excludeFrom   []string
	excludeCaches bool
	larger        string
	oneFileSystem bool
	fresh         bool
}

func newBackupCommand(a *app) *cobra.Command {
	o := &backupOptions{}
	cmd := &cobra.Command{
		Use:   "backup FOLDER PATH",
		Short: "keep a dated snapshot of a folder",
		Long: help(`Stores what is in FOLDER as a snapshot that never changes: PATH/Archives/DATE, and PATH/Latest for the newest. PATH
is made if it is not there. Files that have not changed since an earlier backup, going by size, times and inode, are
neither read nor sent, and directories that have not changed are shared by the snapshots. An interrupted backup goes
on where it stopped when the command is run again.

Links are kept as links and never followed. Devices, sockets and pipes are passed over, and so is what cannot be
read or changes while it is read: each is named, the snapshot has everything else, and the exit status is 1.

A pattern without a slash matches a name in any folder, one with a slash a path from FOLDER on; * and ? stay within
a name, ** goes through folders, a slash at the end means folders only, and ! in front takes back what an earlier
pattern left out.

`+pathHelp, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn backup ~/Documents home:backups/laptop\n  cairn backup --exclude '*.o' --exclude /build/ --exclude-caches src home:backups/src",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return runBackup(cmd.Context(), a, o, args[0], args[1]) },
	}
	f := cmd.Flags()
	a.copyFlag(f)
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches `PATTERN`")
	f.StringArrayVar(&o.excludeFrom, "exclude-from", nil, "leave out what matches a line of `FILE`")
	f.BoolVar(&o.excludeCaches, "exclude-caches", false, "leave out what is in folders marked with a CACHEDIR.TAG file")
	f.StringVar(&o.larger, "exclude-larger-than", "", "leave out files of more than `SIZE`")
	f.BoolVar(&o.oneFileSystem, "one-file-system", false, "leave out what is on other file systems")
	f.BoolVar(&o.fresh, "fresh", false, "read every file, whatever is remembered of it")
	return cmd
}

func (o *backupOptions) options() (localtree.Options, error) {
	options := localtree.Options{Exclude: o.exclude, Caches: o.excludeCaches, OneFileSystem: o.oneFileSystem}
	for _, name := range o.excludeFrom {
		patterns, err := readPatterns(name)
		if err != nil {
			return options, err
		}
		options.Exclude = append(options.Exclude, patterns...)
	}
	if o.larger != "" {
		size, err := config.ParseSize(o.larger)
		if err != nil {
			return options, usagef("--exclude-larger-than: %w", err)
		}
		options.Larger = int64(size)
	}
	return options, nil
}

func readPatterns(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPatterns+1))
	if err == nil && len(data) > maxPatterns {
		err = usagef("%s: more than %d bytes of patterns", name, maxPatterns)
	}
	return strings.Split(string(data), "\n"), err
}

func runBackup(ctx context.Context, a *app, o *backupOptions, source, target string) (err error) {
	if !control.OnGrid(target) {
		return withHint(usagef("backup: %s is no place on the grid", target), "name one like %sbackups/%s", homeTarget, filepath.Base(target))
	}
	options, err := o.options()
	if err != nil {
		return about(err, "backup")
	}
	folder, err := filepath.Abs(source)
	if err != nil {
		return about(err, "backup")
	}
	tree, err := localtree.Open(folder, options)
	if _, bad := errors.AsType[*localtree.PatternError](err); bad {
		return usagef("backup: --exclude: %w", err)
	}
	if err != nil {
		return about(err, "backup")
	}
	defer tree.Close()
	m, files, err := a.memory(folder)
	if err != nil {
		return about(err, "backup")
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return a.running("backup", func(client *control.Client) error {
		if err := a.mayKeep(ctx, client, source, target); err != nil {
			return err
		}
		return a.backup(ctx, client, tree, m, files, treeResult{Source: source, Target: target}, o.fresh)
	})
}

// mayKeep returns an error where a target cannot have snapshots, before anything is read: it is no directory, or it is where another backup
// keeps its own.
func (a *app) mayKeep(ctx context.Context, client *control.Client, source, target string) error {
	for at := strings.TrimRight(target, "/"); nameOf(at) != ""; {
		name, in := nameOf(at), strings.TrimRight(above(at), "/")
		if name == backup.Archives || name == backup.Latest {
			if all, err := snapshots(ctx, client, in); err == nil && len(all) > 0 {
				return a.insideBackup(source, target, in)
			}
		}
		at = in
	}
	e, err := client.Lookup(ctx, control.LookupRequest{Target: target})
	switch {
	case errors.Is(err, share.ErrNotFound):
		return nil // it is made
	case err != nil:
		return err
	case !e.Directory():
		return withHint(usagef("%s is a file, and snapshots are kept in a directory", shownTarget(target)), "name another PATH, which is made if it is not there")
	case !e.Writable:
		return &control.Error{Code: control.CodeRefused, Message: fmt.Sprintf("%s: nothing can be changed in the directory with what is here", strings.TrimRight(shownTarget(target), "/:"))}
	}
	return nil
}

// insideBackup says that a target is in a backup, and how to go on with that.
func (a *app) insideBackup(source, target, in string) error {
	err := usagef("%s is in a backup, which keeps its snapshots there", strings.TrimRight(shownTarget(target), "/:"))
	if strings.HasPrefix(in, "cairn:") { // a secret
		return withHint(err, "leave \"/%s\" out to add a snapshot to it", backup.Archives)
	}
	return withHint(err, "\"%s\" adds a snapshot to it", a.command(typed("backup", noFlag(source), in)))
}

func (a *app) backup(ctx context.Context, client *control.Client, tree *localtree.Tree, m *backup.Memory, files *backup.Files, r treeResult, fresh bool) error {
	began := time.Now()
	grid := treeGrid{client: client}
	if err := review(ctx, client, files); err != nil {
		return err
	}
	known := transfer.Memory(files)
	if fresh {
		known = unread{files}
	}
	bar := a.progress()
	defer bar.done()
	result, err := transfer.Up(ctx, transfer.UpOptions{
		Tree: tree, Store: grid, Folders: backup.Folders{Maker: grid, Files: files}, Memory: known, Name: control.CheckName, Progress: bar.tree,
	})
	bar.done()
	if err != nil {
		return err
	}
	r.Counts, r.Capability = result.Counts, result.Root.Text()
	if r.Snapshot, err = a.keep(ctx, client, r, began); err != nil {
		return err
	}
	if err := m.Sweep(); err != nil {
		return err
	}
	r.Target = shownTarget(r.Target)
	a.noteAlone(ctx, client)
	failed := a.told("backup", &r, result.Problems, resumption{a, sameCommand}.hint()+"; what is never to be kept is left out with --exclude")
	err = a.result(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", below(below(r.Target, backup.Archives), r.Snapshot), r.summary())
	})
	return errors.Join(failed, err)
}

// keep gives a snapshot its names, and returns the one that is its date. One that began in the same second, as on another
// device, keeps its name.
func (a *app) keep(ctx context.Context, client *control.Client, r treeResult, began time.Time) (string, error) {
	earlier, err := snapshots(ctx, client, r.Target)
	if err != nil && !errors.Is(err, share.ErrNotFound) {
		return "", err
	}
	item := control.Item{Name: backup.Free(earlier, began), Capability: r.Capability}
	item.Modified = began
	name := item.Name
	if err := putInto(ctx, client, below(r.Target, backup.Archives), item); err != nil {
		return "", err
	}
	item.Name = backup.Latest
	return name, putInto(ctx, client, r.Target, item)
}

// putInto puts one item into a directory.
func putInto(ctx context.Context, client *control.Client, target string, item control.Item) error {
	done, err := client.Fill(ctx, control.FillRequest{Target: target, Items: []control.Item{item}})
	if err == nil && len(done.Skipped) > 0 {
		err = fmt.Errorf("%s: %s", below(shownTarget(target), item.Name), done.Skipped[0].Error)
	}
	return err
}

// unread is a memory that is written and not read.
type unread struct{ *backup.Files }

// Stored knows nothing.
func (unread) Stored(localtree.Entry) (none capability.Capability, ok bool) { return none, false }

// snapshots returns those in a backup's target, oldest first.
func snapshots(ctx context.Context, client *control.Client, target string) ([]backup.Snapshot, error) {
	var names []string
	err := client.List(ctx, control.ListRequest{Target: below(target, backup.Archives)}, func(e control.Entry) error {
		names = append(names, e.Name)
		return nil
	})
	if errors.Is(err, share.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w: there is no backup", strings.TrimSuffix(shownTarget(target), ":"), share.ErrNotFound)
	}
	return backup.Snapshots(names), err
}

func newSnapshotsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshots PATH",
		Short: "show the snapshots of a backup",
		Long: help(`Shows the snapshots that "cairn backup" has made at PATH, oldest first. Each is a directory: "cairn ls
PATH/Archives/DATE" shows what is in it, and "cairn restore PATH FOLDER" brings it back.`, statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn snapshots home:backups/laptop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.running("snapshots", func(client *control.Client) error {
				all, err := snapshots(cmd.Context(), client, args[0])
				if err != nil {
					return err
				}
				return a.result(append([]backup.Snapshot{}, all...), func(w io.Writer) {
					for _, s := range all {
						fmt.Fprintf(w, "%s  %s\n", s.Name, s.Time.Local().Format("Mon 2006-01-02 15:04:05"))
					}
				})
			})
		},
	}
}

// pruneOptions say which snapshots stay.
type pruneOptions struct {
	backup.Policy
	within string
	dryRun bool
}

func newPruneCommand(a *app) *cobra.Command {
	o := &pruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune PATH",
		Short: "remove old snapshots of a backup",
		Long: help(`Removes the snapshots at PATH that none of the rules keeps. A rule such as --keep-daily 7 keeps the newest snapshot
of each of the last 7 days that have one. What only the removed snapshots held is not renewed any more, and leaves
the servers when its leases end.`,
			statusNotFound, statusNotEnough, statusRefused),
		Example: "  cairn prune home:backups/laptop --keep-last 3 --keep-daily 7 --keep-weekly 5 --keep-monthly 12\n  cairn prune home:backups/laptop --keep-within 30d --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runPrune(cmd.Context(), a, o, args[0]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.Last, "keep-last", 0, "keep the newest `N`")
	f.IntVar(&o.Hourly, "keep-hourly", 0, "keep one for each of the last `N` hours")
	f.IntVar(&o.Daily, "keep-daily", 0, "keep one for each of the last `N` days")
	f.IntVar(&o.Weekly, "keep-weekly", 0, "keep one for each of the last `N` weeks")
	f.IntVar(&o.Monthly, "keep-monthly", 0, "keep one for each of the last `N` months")
	f.IntVar(&o.Yearly, "keep-yearly", 0, "keep one for each of the last `N` years")
	f.StringVar(&o.within, "keep-within", "", "keep all that are younger than the newest by less than `TIME`, such as 30d")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be removed")
	return cmd
}

// A pruned snapshot stays for the reasons that it has, or goes.
type pruned struct {
	backup.Snapshot
	Removed bool     `json:"removed"`
	Reasons []string `json:"reasons"`
}

func runPrune(ctx context.Context, a *app, o *pruneOptions, target string) error {
	if o.within != "" {
		within, err := config.ParseDuration(o.within)
		if err != nil {
			return usagef("--keep-within: %w", err)
		}
		o.Within = within
	}
	if err := o.Check(); err != nil {
		return usagef("prune: %w", err)
	}
	return a.running("prune", func(client *control.Client) error {
		all, err := snapshots(ctx, client, target)
		if err != nil {
			return err
		}
		times := make([]time.Time, len(all))
		for i, s := range all {
			times[i] = s.Time.Local()
		}
		list := []pruned{}
		for i, reasons := range o.Keep(times) {
			p := pruned{Snapshot: all[i], Reasons: append([]string{}, reasons...), Removed: len(reasons) == 0}
			if p.Removed && !o.dryRun {
				name := below(below(target, backup.Archives), p.Name)
				_, err := client.Remove(ctx, control.RemoveRequest{Target: name, Recursive: true})
				if err != nil && !errors.Is(err, share.ErrNotFound) { // another prune may have been faster
					return err
				}
			}
			list = append(list, p)
		}
		return a.result(list, func(w io.Writer) {
			for _, p := range list {
				what := "stays: " + strings.Join(p.Reasons, ", ")
				if p.Removed {
					what = map[bool]string{true: "would be removed", false: "removed"}[o.dryRun]
				}
				fmt.Fprintf(w, "%s  %s\n", p.Name, what)
			}
		})
	})
}

// noBackup says of a directory that is no backup how to get it: as the snapshot of one, or by itself.
func (a *app) noBackup(target, folder string) error {
	err := fmt.Errorf("%s: %w: there is no backup", strings.TrimSuffix(shownTarget(target), ":"), share.ErrNotFound)
	if strings.HasPrefix(target, "cairn:") {
		return withHint(err, "a directory that is no backup is copied with \"cairn cp -rT\"")
	}
	above, name, ok := strings.Cut(strings.TrimRight(target, "/"), "/"+backup.Archives+"/")
	if ok && !strings.Contains(name, "/") {
		return withHint(err, "a snapshot is named so: \"%s\"", a.command(typed("restore", above, noFlag(folder), "--snapshot", name)))
	}
	return withHint(err, "a directory that is no backup is copied so: \"%s\"", a.command(typed("cp", "-rT", target, noFlag(folder))))
}

// restoreSnapshot writes a snapshot of a backup, or any other directory of the grid, to a folder.
func (a *app) restoreSnapshot(ctx context.Context, o *restoreOptions, target, folder string) error {
	return a.running("restore", func(client *control.Client) error {
		backups, err := lookup(ctx, client, target)
		if err != nil {
			return err
		}
		if !backups.Directory() {
			return usagef("%s is a file, and %q no version of it: want a number that \"cairn history\" shows", backups.Path, folder)
		}
		all, err := snapshots(ctx, client, target)
		if errors.Is(err, share.ErrNotFound) {
			return a.noBackup(target, folder)
		}
		if err != nil {
			return err
		}
		s, err := backup.Select(all, o.snapshot)
		if errors.Is(err, backup.ErrAmbiguous) {
			return usagef("%w", err)
		}
		if err != nil {
			return withHint(err, "\"cairn snapshots %s\" shows what there is", shownTarget(target))
		}
		e, err := lookup(ctx, client, below(below(target, backup.Archives), s.Name))
		if err != nil {
			return err
		}
		return a.down(ctx, client, "restore", e, transfer.DownOptions{Target: folder, KeepExisting: o.keep, Repeats: o.repeats}, resumption{a, sameCommand})
	})
}
