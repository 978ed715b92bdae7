//go:build unix

package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cairn/node/control"
)

// nobody is a user and group who may do nothing that root may.
const nobody = 65534

// TestBackups is what happens to a backup that not everything goes well with.
func TestBackups(t *testing.T) {
	grid := startGrid(t, scriptNodes)
	t.Run("unreadable", func(t *testing.T) { unreadableBackup(t, grid) })
	t.Run("changing", func(t *testing.T) { changingBackup(t, grid) })
	t.Run("sparse", func(t *testing.T) { sparseBackup(t, grid) })
	t.Run("racing", func(t *testing.T) { racingBackup(t, grid) })
	t.Run("interrupted", func(t *testing.T) { interruptedBackups(t, grid) })
}

// writeFile writes a file and the folders above it; without data it is random.
func writeFile(t *testing.T, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	rand.Read(data)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// asNobody returns the program as a process of a user who may only read what everybody may, with the node's directory given
// to that user. It skips the test where that cannot be done.
func asNobody(t *testing.T, node string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	program, err := exec.LookPath("cairn")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, dir := range []string{filepath.Dir(bin), filepath.Dir(filepath.Dir(node)), filepath.Dir(node)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(bin, "cairn") // what is on the path may be in a folder that only root enters
	copyFile(t, program, copied)
	if err := filepath.WalkDir(node, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, nobody, nobody))
	}); err != nil && !errors.Is(err, fs.ErrNotExist) { // the node runs, and files come and go
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copied, append([]string{"--dir", node}, args...)...)
	cmd.Env = append(os.Environ(), noExitSleep)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// outcome runs a command to its end and returns its status and what it printed.
func outcome(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// unreadableBackup has everything in a folder that a backup cannot keep, as somebody who may not read all of it.
func unreadableBackup(t *testing.T, grid *testGrid) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "there", "file"), 100)
	writeFile(t, filepath.Join(dir, "no file"), 100)
	writeFile(t, filepath.Join(dir, "no large file"), 100_000)
	writeFile(t, filepath.Join(dir, "shut", "file"), 100)
	writeFile(t, filepath.Join(dir, "listed only", "file"), 100)
	skipped := map[string]string{
		"no file": "permission denied", "no large file": "permission denied", "shut": "permission denied",
		"listed only/file": "permission denied", "pipe\x1b\n": "neither a file", "socket": "neither a file", "null": "neither a file",
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(dir, "pipe\x1b\n"), 0o644), os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink(".", filepath.Join(dir, "there", "self")), os.Symlink("/etc", filepath.Join(dir, "out")),
		os.Chmod(filepath.Join(dir, "no file"), 0), os.Chmod(filepath.Join(dir, "no large file"), 0),
		os.Chmod(filepath.Join(dir, "shut"), 0), os.Chmod(filepath.Join(dir, "listed only"), 0o744),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	node := grid.dirs[0]
	backup := asNobody(t, node, "backup", "--json", dir, "home:b/odd")
	if err := syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o644, 1<<8|3); err != nil {
		t.Logf("no device in it: %v", err)
		delete(skipped, "null")
	}
	status, stdout, stderr := outcome(t, backup)
	var result treeResult
	if err := json.Unmarshal([]byte(stdout), &result); err != nil || status != statusFailed {
		t.Fatalf("status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	for _, p := range result.Skipped {
		if want, ok := skipped[p.Path]; !ok || !strings.Contains(p.Error, want) {
			t.Errorf("skipped %q: %s", p.Path, p.Error)
		}
		delete(skipped, p.Path)
	}
	if len(skipped) > 0 || result.Files != 4 { // there/file, and the links as they are
		t.Errorf("not named: %q; %d files kept", skipped, result.Files)
	}
	if strings.Contains(stderr, "\x1b") || !strings.Contains(stderr, `cairn: backup: pipe\x1b\n: neither`) {
		t.Errorf("names reach the terminal as they are:\n%q", stderr)
	}
	status, _, stderr = outcome(t, asNobody(t, node, "backup", filepath.Join(dir, "shut"), "home:b/shut"))
	if status != statusFailed || !strings.Contains(stderr, "shut: permission denied") {
		t.Errorf("a folder that cannot be read at all: status %d, %s", status, stderr)
	}
	status, _, stderr = outcome(t, asNobody(t, node, "backup", filepath.Join(dir, "listed only"), "home:b/listed"))
	if status != statusFailed || !strings.Contains(stderr, "listed only: permission denied") {
		t.Errorf("a folder that can be listed only: status %d, %s", status, stderr)
	}
	if _, err := grid.Run(t.Context(), "snapshots", "--dir", node, "home:b/shut"); err == nil {
		t.Error("there is a snapshot of a folder that cannot be read")
	}
}

// changingBackup has files that are written to all the time.
func changingBackup(t *testing.T, grid *testGrid) {
	dir, node := t.TempDir(), grid.dirs[0]
	writeFile(t, filepath.Join(dir, "still"), 1000)
	for _, name := range []string{"small", "large"} {
		size := map[string]int{"small": 1000, "large": 8 << 20}[name]
		writeFile(t, filepath.Join(dir, name), size)
		stop, stopped := make(chan struct{}), make(chan error)
		go func() { stopped <- keepWriting(filepath.Join(dir, name), stop) }()
		defer func() {
			close(stop)
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		}()
	}
	cmd, _ := command(t, "backup", "--json", "--dir", node, dir, "home:b/changing")
	status, stdout, stderr := outcome(t, cmd)
	var result treeResult
	if err := json.Unmarshal([]byte(stdout), &result); err != nil || status != statusFailed {
		t.Fatalf("status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	if !slices.Contains(result.Skipped, control.Skipped{Path: "large", Error: "changed while it was read"}) {
		t.Errorf("the large file is not named: %+v", result)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	grid.must(t, "restore", "--dir", node, "home:b/changing", restored)
	if _, err := os.Stat(filepath.Join(restored, "large")); err == nil {
		t.Error("a mixture of several versions was kept")
	}
	sameFiles(t, filepath.Join(dir, "still"), filepath.Join(restored, "still"))
}

// keepWriting writes to a file until it is stopped.
func keepWriting(name string, stop <-chan struct{}) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := int64(0); ; i++ {
		select {
		case <-stop:
			return nil
		default:
			if _, err := fmt.Fprint(io.NewOffsetWriter(f, i%100), i); err != nil {
				return err
			}
		}
	}
}

func sameFiles(t *testing.T, one, other string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "diff", "-r", "--no-dereference", one, other).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// sparseBackup has a file of 10 GiB that is all holes beside one that matters.
func sparseBackup(t *testing.T, grid *testGrid) {
	dir, node := t.TempDir(), grid.dirs[0]
	writeFile(t, filepath.Join(dir, "matters"), 1000)
	writeFile(t, filepath.Join(dir, "disk.img"), 0)
	if err := os.Truncate(filepath.Join(dir, "disk.img"), 10<<30); err != nil {
		t.Fatal(err)
	}
	before := usage(filepath.Join(grid.dirs[1], "storage"))
	out := grid.must(t, "backup", "--dir", node, "--exclude-larger-than", "1GB", dir, "home:b/sparse")
	if !strings.Contains(string(out), "1 file in 1 folder") || usage(filepath.Join(grid.dirs[1], "storage"))-before > 1<<20 {
		t.Errorf("left out with what is too large: %s", out)
	}
}

// racingBackup prunes a backup again and again while snapshots are made.
func racingBackup(t *testing.T, grid *testGrid) {
	dir, node := t.TempDir(), grid.dirs[0]
	writeFile(t, filepath.Join(dir, "file"), 1000)
	grid.must(t, "backup", "--dir", node, dir, "home:b/racing")
	const rounds = 6
	pruned := make(chan error)
	for range 2 {
		go func() {
			for range rounds {
				if _, err := grid.Run(t.Context(), "prune", "--dir", node, "--keep-last", "1", "home:b/racing"); err != nil {
					pruned <- err
					return
				}
			}
			pruned <- nil
		}()
	}
	for i := range rounds {
		writeFile(t, filepath.Join(dir, fmt.Sprint(i)), 1000)
		grid.must(t, "backup", "--dir", node, dir, "home:b/racing")
	}
	for range 2 {
		if err := <-pruned; err != nil {
			t.Error(err)
		}
	}
	restored := filepath.Join(t.TempDir(), "restored")
	grid.must(t, "restore", "--dir", node, "home:b/racing", restored)
	sameFiles(t, dir, restored)
}

// received returns how many bytes the other nodes got from the first.
func received(t *testing.T, grid *testGrid) (sum int64) {
	t.Helper()
	for _, dir := range grid.dirs[1:] {
		client, err := control.Dial(dir)
		if err != nil {
			t.Fatal(err)
		}
		served, err := client.Served(t.Context())
		client.Close()
		if err != nil {
			t.Fatal(err)
		}
		sum += served.Received
	}
	return sum
}

// makeTree writes many small files and a large one.
func makeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 2400 {
		writeFile(t, filepath.Join(dir, fmt.Sprint(i%10), fmt.Sprint(i)), 1000+i%100)
	}
	writeFile(t, filepath.Join(dir, "5", "large"), 8<<20)
	return dir
}

// inFlight bounds the bytes that are sent for what is not stored yet: four batches of small files, of 256 each.
const inFlight = 4 * 256 * 3000

// interruptedBackups ends backups before they are done, each in another manner, and runs them again.
func interruptedBackups(t *testing.T, grid *testGrid) {
	before := received(t, grid)
	grid.must(t, "backup", "--dir", grid.dirs[0], makeTree(t), "home:b/interrupted")
	whole := received(t, grid) - before
	t.Run("command interrupted", func(t *testing.T) {
		interruptedBackup(t, grid, whole, statusInterrupted, func(cmd *exec.Cmd) { cmd.Process.Signal(os.Interrupt) })
	})
	t.Run("command killed", func(t *testing.T) {
		interruptedBackup(t, grid, whole, -1, func(cmd *exec.Cmd) { cmd.Process.Kill() })
	})
	t.Run("node killed", func(t *testing.T) {
		interruptedBackup(t, grid, whole, statusFailed, func(*exec.Cmd) { grid.nodes[0].Kill() })
	})
}

// interruptedBackup interrupts a backup that sends so many bytes.
func interruptedBackup(t *testing.T, grid *testGrid, whole int64, status int, interrupt func(*exec.Cmd)) {
	dir, node, target := makeTree(t), grid.dirs[0], "home:b/interrupted"
	latest := grid.must(t, "cap", "show", "--dir", node, target+"/Latest")
	snapshots := grid.must(t, "snapshots", "--dir", node, target)
	before := received(t, grid)
	cmd, stderr := command(t, "backup", "--dir", node, dir, target)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "half has been sent", func() bool { return received(t, grid)-before > whole/2 })
	interrupt(cmd)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("status %d, want %d: %s", got, status, stderr)
	}
	if said := stderr.String(); status == statusFailed && !strings.Contains(said, "the node stopped while it was working\nnext: start it with") {
		t.Errorf("it says %s", said)
	}
	select {
	case <-grid.nodes[0].Ended():
		grid.nodes[0] = grid.up(t, node)
		grid.await(t, node, len(grid.dirs)-1)
	default:
	}
	if now := grid.must(t, "cap", "show", "--dir", node, target+"/Latest"); string(now) != string(latest) {
		t.Error("Latest is another")
	}
	if now := grid.must(t, "snapshots", "--dir", node, target); string(now) != string(snapshots) {
		t.Errorf("there are other snapshots: %s", now)
	}
	grid.must(t, "backup", "--json", "--dir", node, dir, target)
	if sent := received(t, grid) - before; sent > whole+whole/20+inFlight {
		t.Errorf("%d bytes were sent in all, where %d would have been without an interruption", sent, whole)
	} else {
		t.Logf("%d bytes were sent in all, %d without an interruption", sent, whole)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	grid.must(t, "restore", "--dir", node, target, restored)
	sameFiles(t, dir, restored)
}
