//go:build linux

package natlab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cairn/internal/natlab"
)

// program is the cairn executable under test.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "natlab-cairn-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "cairn")
	out, err := exec.Command("go", "build", "-o", path, "cairn/cmd/cairn").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out)}
	}
	return path, nil
})

// builtIn is the folder of the program once it has been asked for.
var builtIn string

type buildError struct{ output string }

func (e *buildError) Error() string { return "build: " + e.output }

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" && code == 0 {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// patience is for busy machines; on an idle one everything takes seconds.
const patience = 60 * time.Second

// A node is a cairn process on a machine.
type node struct {
	t       testing.TB
	machine *natlab.Machine
	path    string
	dir     string
	log     string
	process *exec.Cmd
}

// makeNode makes a node that does not run yet. The arguments are of init.
func makeNode(t testing.TB, m *natlab.Machine, name string, args ...string) *node {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, machine: m, path: path, dir: filepath.Join(t.TempDir(), name), log: filepath.Join(t.TempDir(), name+".log")}
	n.run(append([]string{"init", "--nickname", name}, args...)...)
	return n
}

// run runs a command of the node to its end and returns what it printed.
func (n *node) run(args ...string) []byte {
	n.t.Helper()
	return n.runWithin(patience, args...)
}

// runWithin runs a command that may take so long.
func (n *node) runWithin(limit time.Duration, args ...string) []byte {
	n.t.Helper()
	out, err := n.tryWithin(limit, args...)
	if err != nil {
		n.t.Fatalf("%s %q: %v", filepath.Base(n.dir), args, err)
	}
	return out
}

type runError struct {
	error
	stderr string
}

func (e runError) Error() string { return e.error.Error() + ": " + e.stderr }

func (n *node) try(args ...string) ([]byte, error) { return n.tryWithin(patience, args...) }

func (n *node) tryWithin(limit time.Duration, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := n.command(args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(limit, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return stdout.Bytes(), runError{err, stderr.String()}
	}
	return stdout.Bytes(), nil
}

func (n *node) command(args ...string) *exec.Cmd {
	cmd := n.machine.Command(n.path, append([]string{"--dir", n.dir}, args...)...)
	own := func(variable string) bool { return strings.HasPrefix(variable, "CAIRN_") } // settings of whoever runs the tests
	cmd.Env = append(slices.DeleteFunc(os.Environ(), own), "CAIRN_LOG_LEVEL=debug")
	return cmd
}

// up starts the node and waits until it serves.
func (n *node) up() {
	n.t.Helper()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.process = n.command("up")
	n.process.Stdout, n.process.Stderr = log, log
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		n.kill()
		if n.t.Failed() {
			text, _ := os.ReadFile(n.log)
			n.t.Logf("log of %s:\n%s", filepath.Base(n.dir), text[max(0, len(text)-6000):])
		}
	})
	eventually(n.t, patience, "the node serves", func() bool { _, err := n.try("peers"); return err == nil })
}

// kill ends the node's process without a goodbye.
func (n *node) kill() {
	if n.process != nil {
		syscall.Kill(-n.process.Process.Pid, syscall.SIGKILL)
		n.process.Wait()
		n.process = nil
	}
}

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := syscall.Kill(-n.process.Process.Pid, s); err != nil {
		n.t.Fatal(err)
	}
}

type peer struct {
	Nickname  string   `json:"nickname"`
	Addresses []string `json:"addresses"`
	Path      string   `json:"path"`
	Transport string   `json:"transport"`
	Answers   bool     `json:"answers"`
	Problem   string   `json:"problem"`
}

func (n *node) peers() map[string]peer {
	var list []peer
	out, err := n.try("peers", "--json")
	if err != nil || json.Unmarshal(out, &list) != nil {
		return nil
	}
	byName := make(map[string]peer)
	for _, p := range list {
		byName[p.Nickname] = p
	}
	return byName
}

// reaches waits until the node reaches the peer on the path, and returns how long that took.
func (n *node) reaches(name, path string, limit time.Duration) time.Duration {
	n.t.Helper()
	var last map[string]peer
	begin := time.Now()
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%s knows %+v", filepath.Base(n.dir), last)
		}
	}()
	eventually(n.t, limit, filepath.Base(n.dir)+" reaches "+name+": "+path, func() bool {
		last = n.peers()
		return last[name].Answers && last[name].Path == path
	})
	return time.Since(begin)
}

// eventually waits until the condition holds.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	eventuallyEvery(t, 100*time.Millisecond, limit, what, holds)
}

// eventuallyEvery asks once in a while until the answer is yes.
func eventuallyEvery(t testing.TB, pause, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// found makes a public node that only brings the others together, with a grid of one share for each file.
func found(t testing.TB, m *natlab.Machine) (n *node, address string) {
	t.Helper()
	n = makeNode(t, m, "pub", "--no-storage")
	n.run("grid", "create", "lab", "--open", "--k", "1", "--happy", "1", "--n", "1")
	n.up()
	return n, n.address()
}

// address returns the grid's address, which leads to this node first.
func (n *node) address() string {
	n.t.Helper()
	var grid struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal(n.run("grid", "show", "--json"), &grid); err != nil || !strings.HasPrefix(grid.Address, "cairn-grid:") {
		n.t.Fatalf("address of the grid: %q, %v", grid.Address, err)
	}
	return grid.Address
}

// join makes a node of the grid and starts it.
func join(t testing.TB, m *natlab.Machine, name, address string, args ...string) *node {
	t.Helper()
	n := makeNode(t, m, name, args...)
	n.run("join", address)
	n.up()
	return n
}
