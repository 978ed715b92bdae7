package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/internal/localgrid"
	"cairn/internal/waittest"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
	"cairn/share/keys"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cairn": func() { os.Exit(run()) }})
}

// scriptNodes is how many nodes run while the stories are told.
const scriptNodes = 4

// noExitSleep keeps programs that are built with the race detector from sleeping for a second before they end.
const noExitSleep = "GORACE=atexit_sleep_ms=0"

// A testGrid is a grid of node processes.
type testGrid struct {
	*localgrid.Grid
	address string
	dirs    []string
	nodes   []*localgrid.Process
}

// emptyGrid is a grid without nodes.
func emptyGrid(t *testing.T) *testGrid {
	t.Helper()
	program, err := exec.LookPath("cairn")
	if err != nil {
		t.Fatal(err)
	}
	g := &testGrid{Grid: localgrid.New(localgrid.Config{
		Dir: t.TempDir(), Program: program, Env: []string{"CAIRN_NETWORK_MDNS=false", "CAIRN_STORAGE_RESERVE=0", noExitSleep},
	})}
	t.Cleanup(func() { g.Close() })
	return g
}

// startGrid founds a grid with n nodes and waits until all know each other.
func startGrid(t *testing.T, n int) *testGrid {
	t.Helper()
	g := emptyGrid(t)
	for i := range n {
		name := fmt.Sprintf("node%d", i+1)
		dir := g.Dir(name)
		g.dirs = append(g.dirs, dir)
		g.must(t, "init", "--dir", dir, "--nickname", name, "--listen", "/ip4/127.0.0.1/tcp/0")
		if i == 0 {
			g.must(t, "grid", "create", "stories", "--open", "--k", "2", "--happy", "3", "--n", "4", "--dir", dir)
		} else {
			g.must(t, "join", g.address, "--dir", dir)
		}
		g.nodes = append(g.nodes, g.up(t, dir))
		if i == 0 {
			var shown control.Grid
			if err := json.Unmarshal(g.must(t, "grid", "show", "--json", "--dir", dir), &shown); err != nil {
				t.Fatal(err)
			}
			g.address = shown.Address
		}
	}
	for _, dir := range g.dirs {
		g.await(t, dir, n-1)
	}
	return g
}

func (g *testGrid) must(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := g.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (g *testGrid) up(t *testing.T, dir string) *localgrid.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Patience)
	defer cancel()
	p, err := g.Start(ctx, "ready", "up", "--dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s", dir, p.Log())
		}
	})
	return p
}

// await waits until the node has that many peers that answer and take shares.
func (g *testGrid) await(t *testing.T, dir string, peers int) {
	t.Helper()
	client, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Patience)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		list, err := client.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list = slices.DeleteFunc(list, func(p control.Peer) bool { return !p.Answers || !p.Storage })
		if len(list) >= peers {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%s met %d of %d peers", dir, len(list), peers)
		}
	}
}

func TestScripts(t *testing.T) {
	grid := startGrid(t, scriptNodes)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	key := keys.NewReadKey()
	stranger := capability.File(share.IndexOf(key[:]), key).Text()
	colon := strings.LastIndex(stranger, ":")
	// The stories run in parallel, after this function has returned; t.Run waits for them.
	t.Run("story", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata/script",
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(env *testscript.Env) error {
				for i, dir := range grid.dirs {
					env.Setenv(fmt.Sprintf("NODE%d", i+1), dir)
				}
				endNodes(env)
				env.Vars = append(env.Vars, noExitSleep)
				env.Setenv("HOME", env.WorkDir)
				env.Setenv("ADDRESS", grid.address)
				env.Setenv("FILECAP", stranger)
				env.Setenv("FILEKEY", stranger[colon+1:])
				env.Setenv("TRUNCATED", stranger[:len(stranger)-3])
				env.Setenv("TRUNCATEDKEY", stranger[colon+1:len(stranger)-3])
				env.Setenv("NAME255", strings.Repeat("n", 255))
				env.Setenv("NOTUTF8", "bad\xff")
				env.Setenv("REPLACED", "bad\uFFFD")
				env.Setenv("TWOLINES", "two\nlines")
				env.Setenv("BIDI", "safe\u202egpj.exe")
				env.Setenv("DEEP", strings.Repeat("d/", 300))
				env.Setenv("LOSTDIR", capability.Directory(keys.NewWriteKey()).Text())
				env.Setenv("BUSY", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port))
				return nil
			},
			Condition: func(name string) (bool, error) {
				if name != "manager" {
					return false, fmt.Errorf("unknown condition %q", name)
				}
				_, err := os.Stat("/run/systemd/system")
				return err == nil, nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"exits": scriptExits, "needs-node": scriptNeedsNode, "mode": scriptMode, "capture": scriptCapture,
				"random": scriptRandom, "part": scriptPart, "only": scriptOnly,
				"writes": scriptWrites, "met": scriptMet, "capture-json": scriptCaptureJSON, "mistype": scriptMistype, "phrasefile": scriptPhraseFile, "codefile": scriptCodeFile,
				"eventually": scriptEventually, "note": scriptNote, "once": scriptOnce,
			},
		})
	})
}

// exits STATUS PROGRAM ARGS...: the program ends with the status.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
	if slices.Contains(args, "--dir") {
		for _, advice := range advised.FindAllStringSubmatch(ts.ReadFile("stderr"), -1) {
			if !strings.HasPrefix(advice[1], "--dir ") && !strings.HasSuffix(advice[1], "--help") {
				ts.Fatalf("%s does not name the directory of the node", advice[0])
			}
		}
	}
}

// needs-node ARGS...: without a running node the verb ends with status 1 and one line that says so.
func scriptNeedsNode(ts *testscript.TestScript, _ bool, args []string) {
	scriptExits(ts, false, append([]string{"1", "cairn", "--dir", "node"}, args...))
	stderr := ts.ReadFile("stderr")
	if strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, "the node is not running\nnext: start it with \"cairn --dir node up\"\n") {
		ts.Fatalf("the error does not say that the node is not running, and the fix:\n%s", stderr)
	}
}

// mode MODE FILE: the file has the permission.
func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if info.Mode().Perm() != os.FileMode(want) {
		ts.Fatalf("%s has mode %04o, want %04o", args[1], info.Mode().Perm(), want)
	}
}

// capture VARIABLE: the last line of standard output becomes the variable.
func scriptCapture(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	ts.Setenv(args[0], lines[len(lines)-1])
}

// writes FILE PROGRAM ARGS...: the program succeeds, and its standard output is the file.
func scriptWrites(ts *testscript.TestScript, _ bool, args []string) {
	out, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer out.Close()
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, ts.Stderr()
	cmd.Env = append(os.Environ(), "CAIRN_DIR="+ts.Getenv("CAIRN_DIR"), noExitSleep)
	ts.Check(cmd.Run())
}

// random FILE SIZE: a file of random bytes.
func scriptRandom(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := make([]byte, size)
	rand.Read(data)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// part FILE OFFSET LENGTH TO: a part of a file.
func scriptPart(ts *testscript.TestScript, _ bool, args []string) {
	data := ts.ReadFile(args[0])
	off, err := strconv.Atoi(args[1])
	ts.Check(err)
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(data[off:off+n]), 0o600))
}

// only NAMES...: the working directory holds these names and no others.
func scriptOnly(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	for _, entry := range entries {
		if name := filepath.Base(entry.Name()); name != ".tmp" && !slices.Contains(args, name) {
			ts.Fatalf("%s was left behind", name)
		}
	}
}

// met DIR N: the running node of the directory comes to have exactly N peers that answer and take shares.
func scriptMet(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	client, err := control.Dial(ts.MkAbs(args[0]))
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), waittest.Patience)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		list, err := client.Peers(ctx)
		ts.Check(err)
		list = slices.DeleteFunc(list, func(p control.Peer) bool { return !p.Answers || !p.Storage })
		if len(list) == want {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			ts.Fatalf("%s has %d peers, want %d", args[0], len(list), want)
		}
	}
}

// capture-json VARIABLE FIELD: the field of the object on standard output, or of the first in a list, becomes the variable.
func scriptCaptureJSON(ts *testscript.TestScript, _ bool, args []string) {
	data := []byte(ts.ReadFile("stdout"))
	var list []map[string]any
	if json.Unmarshal(data, &list) != nil {
		list = []map[string]any{{}}
		ts.Check(json.Unmarshal(data, &list[0]))
	}
	if len(list) == 0 {
		ts.Fatalf("the list is empty")
	}
	ts.Setenv(args[0], fmt.Sprint(list[0][args[1]]))
}

// mistype VARIABLE TEXT N: the text with its N-th character replaced by another of its alphabet becomes the variable.
func scriptMistype(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(args[1])
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	if text[n] == 'x' {
		text[n] = 'y'
	} else {
		text[n] = 'x'
	}
	ts.Setenv(args[0], string(text))
}

// phrasefile FILE WORDS...: a file with the words of a phrase, numbered, in capitals, one a line.
func scriptPhraseFile(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	for i, word := range strings.Fields(strings.Join(args[1:], " ")) {
		fmt.Fprintf(&b, "%d. %s\r\n", i+1, strings.ToUpper(word))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// codefile FILE WORDS...: a file with one line.
func scriptCodeFile(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(args[1:], " ")+"\n"), 0o600))
}
