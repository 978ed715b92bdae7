package main

import (
	"crypto/rand"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cairn/internal/waittest"
	"cairn/node/control"
)

// command returns the program as a process of its own.
func command(t *testing.T, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cairn", args...)
	cmd.Env = append(os.Environ(), noExitSleep)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	return cmd, &stderr
}

// until polls until the condition holds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	waittest.Eventually(t, what, condition)
}

// usage returns the bytes of all files below a directory.
func usage(dir string) int64 {
	var total int64
	filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

func TestInterruptedPutContinues(t *testing.T) {
	grid := startGrid(t, scriptNodes)
	file := filepath.Join(t.TempDir(), "file")
	data := make([]byte, 96<<20)
	rand.Read(data)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	uploads := filepath.Join(grid.dirs[1], "storage", "uploads")

	put, stderr := command(t, "put", "--dir", grid.dirs[0], file)
	if err := put.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "another node has 8 MB", func() bool { return usage(uploads) > 8<<20 })
	put.Process.Signal(os.Interrupt)
	put.Wait()
	if status := put.ProcessState.ExitCode(); status != statusInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Fatalf("interrupted it ended with status %d: %s", status, stderr)
	}

	var result control.PutResult
	out := grid.must(t, "put", "--json", "-q", "--dir", grid.dirs[0], file)
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatal(err)
	}
	if result.Resumed < 8<<20 {
		t.Errorf("%d bytes were resumed, want at least the 8 MB that one node had", result.Resumed)
	}
	copied := file + ".copy"
	grid.must(t, "get", "--dir", grid.dirs[2], result.Capability, "-o", copied)
	if got, err := os.ReadFile(copied); err != nil || string(got) != string(data) {
		t.Errorf("the file that was resumed came back with %d bytes of %d, %v", len(got), len(data), err)
	}
}

func TestInterruptedStreamAndNode(t *testing.T) {
	grid := startGrid(t, 3) // fewer would refuse the file before all of it is read
	dir := grid.dirs[0]
	out := filepath.Join(t.TempDir(), "out")
	put, stderr := command(t, "put", "--dir", dir, "-")
	stdin, err := put.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := put.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds: the program is reading
		t.Fatal(err)
	}
	put.Process.Signal(syscall.SIGTERM)
	put.Wait()
	if status := put.ProcessState.ExitCode(); status != statusInterrupted {
		t.Errorf("an interrupted stream ended with status %d: %s", status, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}

	// A node that is interrupted stops in order.
	other := filepath.Join(t.TempDir(), "node")
	grid.must(t, "init", "--dir", other, "--listen", "/ip4/127.0.0.1/tcp/0")
	grid.must(t, "join", grid.address, "--dir", other)
	up, stderr := command(t, "up", "--dir", other)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the node is up", func() bool {
		_, err := control.ReadEndpoint(other)
		return err == nil
	})
	up.Process.Signal(os.Interrupt)
	up.Wait()
	if status := up.ProcessState.ExitCode(); status != statusDone {
		t.Errorf("a node that was interrupted ended with status %d: %s", status, stderr)
	}
	if _, err := control.ReadEndpoint(other); err == nil {
		t.Error("a node that stopped left the address of its local API behind")
	}
}

func TestKilledNodeStartsAgain(t *testing.T) {
	grid := startGrid(t, 1)
	dir := filepath.Join(t.TempDir(), "node")
	grid.must(t, "init", "--dir", dir, "--listen", "/ip4/127.0.0.1/tcp/0")
	grid.must(t, "join", grid.address, "--dir", dir)
	grid.up(t, dir).Kill()
	if _, err := grid.Run(t.Context(), "status", "--dir", dir); err == nil {
		t.Error("status of a killed node succeeds")
	}
	grid.up(t, dir)
	grid.must(t, "status", "--dir", dir)
}

// TestRecoverRunsTheNode is what somebody does whose machine burned.
func TestRecoverRunsTheNode(t *testing.T) {
	grid := startGrid(t, 1)
	dir, words := filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(words, []byte(strings.Repeat("abandon ", 23)+"art\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := grid.Start(t.Context(), "msg=ready", "recover", grid.address, "--phrase-file", words, "--start", "--dir", dir, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		t.Fatal(err)
	}
	grid.await(t, dir, 1)
}

// TestJoinRunsTheNode is what a friend does who has an address and nothing else.
func TestJoinRunsTheNode(t *testing.T) {
	grid := startGrid(t, 1)
	dir := filepath.Join(t.TempDir(), "friend")
	p, err := grid.Start(t.Context(), "msg=ready", "join", grid.address, "--dir", dir, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		t.Fatal(err)
	}
	grid.await(t, dir, 1)
	if log := p.Log(); !strings.Contains(log, "joined grid \"stories\"") || !strings.Contains(log, "This node lends") {
		t.Errorf("join does not say what it did:\n%s", log)
	}
}
