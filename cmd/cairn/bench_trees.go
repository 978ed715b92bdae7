package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cairn/node/control"
)

// Names of operations, as the tables have them.
const (
	opCopyIn       = "copy in (cp -r)"
	opCopyInAgain  = "copy in again, unchanged"
	opCopyOut      = "copy out (cp -r), gateway never saw it"
	opCheck        = "check (check -r)"
	opVerify       = "verify (check -r --verify)"
	opBackup       = "back up"
	opBackupAgain  = "back up again, unchanged"
	opRestore      = "restore"
	treeFolder     = 100 // files in a folder
	verifyAtMost   = 1000
	resticPassword = "bench"
)

// A benchDisk is what small files take on the disks of all servers.
type benchDisk struct {
	Files int   `json:"files"`
	Size  int64 `json:"size"` // of all files
	Disk  int64 `json:"disk"`
}

// benchTrees is what moving trees of small files takes.
type benchTrees struct {
	Operations []benchOp `json:"operations"`
	Disk       benchDisk `json:"disk"`
	// Restic is the version of the restic that was measured beside, empty where there is none.
	Restic string `json:"restic,omitempty"`
}

// yardstickDisk is how many bytes Tahoe-LAFS takes on its servers' disks for each byte of small files.
const yardstickDisk = 13

// smallTrees measures trees of small files.
func (b *bench) smallTrees(ctx context.Context) error {
	out := &b.out.Trees
	out.Restic = resticVersion(ctx)
	if out.Restic == "" {
		b.app.note("bench: left out: restic is not installed")
	}
	for _, count := range b.benchOptions.trees {
		if err := b.tree(ctx, count); err != nil {
			return fmt.Errorf("%d files: %w", count, err)
		}
	}
	return nil
}

// A benchTree is a tree of small files on disk, and what is measured with it.
type benchTree struct {
	*bench
	count  int
	folder string
	size   int64
}

func (b *bench) tree(ctx context.Context, count int) error {
	for _, part := range []struct {
		name    string
		measure func(benchTree, context.Context) error
	}{
		{"copied", benchTree.copies}, {"backed-up", benchTree.backups}, {"restic", benchTree.restic},
	} {
		if part.name == "restic" && b.out.Trees.Restic == "" {
			continue
		}
		t, err := b.grow(part.name, count)
		if err == nil {
			err = part.measure(t, ctx)
		}
		if err = errors.Join(err, os.RemoveAll(t.folder)); err != nil {
			return err
		}
	}
	return nil
}

// grow makes a tree of files of 500 to 1500 bytes which no grid has seen.
func (b *bench) grow(name string, count int) (benchTree, error) {
	t := benchTree{bench: b, count: count, folder: b.path(fmt.Sprintf("%s-%d", name, count))}
	for i := range count {
		folder := filepath.Join(t.folder, fmt.Sprintf("part-%02d", i/treeFolder/10), fmt.Sprintf("folder-%03d", i/treeFolder))
		if i%treeFolder == 0 {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return t, err
			}
		}
		data := randomBytes(500 + i*37%1001)
		t.size += int64(len(data))
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%05d.txt", i)), data, 0o600); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t benchTree) keep(op benchOp, err error) error {
	if err == nil {
		t.out.Trees.Operations = append(t.out.Trees.Operations, op)
	}
	return err
}

// verb measures one verb on a gateway.
func (t benchTree) verb(ctx context.Context, what string, gateway *localNode, args ...string) error {
	return t.keep(t.once(ctx, benchOp{What: what, Count: t.count}, func() error {
		_, err := t.nodes.verb(ctx, gateway, args...)
		return err
	}))
}

// copies copies the tree in and out, and checks it.
func (t benchTree) copies(ctx context.Context) error {
	target, gateway := fmt.Sprintf("%stree-%d", homeTarget, t.count), t.gateway(0)
	before, err := t.disks()
	if err != nil {
		return err
	}
	if err := t.verb(ctx, opCopyIn, gateway, "cp", "-r", t.folder, target); err != nil {
		return err
	}
	after, err := t.disks()
	if err != nil {
		return err
	}
	if t.out.Trees.Disk.Files == 0 {
		t.out.Trees.Disk = benchDisk{Files: t.count, Size: t.size, Disk: after - before}
	}
	if err := t.verb(ctx, opCopyInAgain, gateway, "cp", "-r", t.folder+"/.", target); err != nil {
		return err
	}
	if err := t.copyOut(ctx, target); err != nil {
		return err
	}
	if err := t.verb(ctx, opCheck, gateway, "check", "-r", target); err != nil || t.count > verifyAtMost {
		return err
	}
	return t.verb(ctx, opVerify, gateway, "check", "-r", "--verify", target)
}

// copyOut copies the tree out through a gateway that has not seen it.
func (t benchTree) copyOut(ctx context.Context, target string) (err error) {
	entry, err := ask(ctx, t.gateway(0), func(c *control.Client, ctx context.Context) (control.Entry, error) {
		return c.Lookup(ctx, control.LookupRequest{Target: target, Capabilities: true})
	})
	if err != nil {
		return err
	}
	out := t.folder + "-out"
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	if err := t.verb(ctx, opCopyOut, t.gateway(1), "cp", "-r", entry.Capability, out); err != nil {
		return err
	}
	return t.same(out)
}

// backups backs the tree up, twice.
func (t benchTree) backups(ctx context.Context) (err error) {
	target, gateway := fmt.Sprintf("%sbackup-%d", homeTarget, t.count), t.gateway(0)
	for _, what := range []string{opBackup, opBackupAgain} {
		if err := t.verb(ctx, what, gateway, "backup", t.folder, target); err != nil {
			return err
		}
	}
	out := t.folder + "-out"
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	if err := t.verb(ctx, opRestore, gateway, "restore", target, out); err != nil {
		return err
	}
	return t.same(out)
}

// restic backs the tree up with restic, twice, into a repository on this disk.
func (t benchTree) restic(ctx context.Context) (err error) {
	repository, out := t.path("repository"), t.folder+"-out"
	defer func() { err = errors.Join(err, os.RemoveAll(repository)) }()
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "restic", append([]string{"-q"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD="+resticPassword, "RESTIC_CACHE_DIR="+t.path("restic-cache"))
		if printed, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("restic %s: %w: %s", args[0], err, printed)
		}
		return nil
	}
	if err := run("init"); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		args []string
	}{
		{opBackup, []string{"backup", t.folder}},
		{opBackupAgain, []string{"backup", t.folder}},
		{opRestore, []string{"restore", "latest", "--target", out}},
	} {
		took, err := timed(func() error { return run(step.args...) })
		if err := t.keep(benchOp{What: step.what, Count: t.count, Command: took, Else: "restic"}, err); err != nil {
			return err
		}
	}
	return nil
}

// resticVersion returns the version of restic, empty where it is not installed.
func resticVersion(ctx context.Context) string {
	printed, err := exec.CommandContext(ctx, "restic", "version").Output()
	if fields := strings.Fields(string(printed)); err == nil && len(fields) > 1 {
		return fields[1]
	}
	return ""
}

// same returns an error unless a folder holds as many files and bytes as the tree.
func (t benchTree) same(folder string) error {
	files, size := 0, int64(0)
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files, size = files+1, size+info.Size()
		}
		return err
	})
	if err == nil && (files != t.count || size != t.size) {
		err = fmt.Errorf("%d files of %d bytes came back, %d of %d were stored", files, size, t.count, t.size)
	}
	return err
}

// disks returns what the servers take on disk, everything of theirs counted.
func (b *bench) disks() (int64, error) {
	var total int64
	for _, node := range b.nodes.nodes {
		used, err := diskUsage(filepath.Join(node.dir, "storage"))
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}
