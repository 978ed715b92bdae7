package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/internal/localgrid"
	"cairn/internal/s3test"
	"cairn/internal/waittest"
	"cairn/node/control"
	"cairn/share"
)

// A bucketGrid is a grid of node processes, of which the first ones keep their shares in buckets.
type bucketGrid struct {
	*testGrid
	server *s3test.Server
	names  []string
}

// startBuckets founds a grid of so many nodes with buckets and with disks.
func startBuckets(t *testing.T, buckets, disks int, encoding ...string) *bucketGrid {
	t.Helper()
	program, err := exec.LookPath("cairn")
	if err != nil {
		t.Fatal(err)
	}
	server := s3test.Start(t)
	secret := fileOf(t, []byte(s3test.Secret))
	g := &bucketGrid{server: server, testGrid: &testGrid{Grid: localgrid.New(localgrid.Config{
		Dir: t.TempDir(), Program: program, Env: []string{"CAIRN_NETWORK_MDNS=false", "CAIRN_STORAGE_RESERVE=0", noExitSleep},
	})}}
	t.Cleanup(func() { g.Close() })
	for i := range buckets + disks {
		name := fmt.Sprintf("node%d", i+1)
		dir := g.Dir(name)
		g.dirs, g.names = append(g.dirs, dir), append(g.names, name)
		init := []string{"init", "--dir", dir, "--nickname", name, "--listen", "/ip4/127.0.0.1/tcp/0"}
		if i < buckets {
			init = append(init, "--storage", "s3://"+s3test.Bucket+"/"+name, "--endpoint", server.Endpoint, "--access-key", s3test.Access, "--secret-file", secret)
		}
		g.must(t, init...)
		if i > 0 {
			g.must(t, "join", g.address, "--dir", dir)
			g.nodes = append(g.nodes, g.up(t, dir))
			continue
		}
		g.must(t, append([]string{"grid", "create", "buckets", "--open", "--dir", dir}, encoding...)...)
		g.nodes = append(g.nodes, g.up(t, dir))
		var shown control.Grid
		g.ask(t, &shown, "grid", "show", "--dir", dir)
		g.address = shown.Address
	}
	g.met(t)
	return g
}

func fileOf(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func randomFile(t *testing.T, size int) (path string, data []byte) {
	t.Helper()
	data = make([]byte, size)
	rand.Read(data)
	return fileOf(t, data), data
}

// met waits until all nodes know all others.
func (g *bucketGrid) met(t *testing.T) {
	t.Helper()
	for _, dir := range g.dirs {
		g.await(t, dir, len(g.dirs)-1)
	}
}

// ask runs a command and reads its document.
func (g *bucketGrid) ask(t *testing.T, document any, args ...string) {
	t.Helper()
	if err := json.Unmarshal(g.must(t, append(args, "--json")...), document); err != nil {
		t.Fatal(err)
	}
}

func (g *bucketGrid) put(t *testing.T, through int, path string) string {
	t.Helper()
	var result control.PutResult
	g.ask(t, &result, "put", "-q", "--dir", g.dirs[through], path)
	return result.Capability
}

func (g *bucketGrid) wantFile(t *testing.T, through int, c string, want []byte) {
	t.Helper()
	if got := g.must(t, "get", "-q", "--dir", g.dirs[through], c, "-o", "-"); !bytes.Equal(got, want) {
		t.Errorf("through %s %d bytes came back of %d", g.names[through], len(got), len(want))
	}
}

func (g *bucketGrid) wantShares(t *testing.T, through int, c string, want int) {
	t.Helper()
	var report control.Report
	g.ask(t, &report, "check", "--verify", "--dir", g.dirs[through], c)
	if report.SharesGood != want {
		t.Errorf("%d good shares, want %d: %+v", report.SharesGood, want, report)
	}
}

// TestTenNodesWithBuckets has four of ten nodes keep their shares in buckets: files survive the loss of any seven, the S3 server may go away and
// come back, and a node with a bucket can leave.
func TestTenNodesWithBuckets(t *testing.T) {
	g := startBuckets(t, 3, 7, "--k", "3", "--happy", "7", "--n", "10")
	path, data := randomFile(t, 2_000_000)
	c := g.put(t, 0, path)
	g.wantShares(t, 9, c, 10)
	small, text := randomFile(t, 900)
	name := g.put(t, 9, small)

	for i := 2; i < 9; i++ { // two with buckets are left, and one with a disk
		g.nodes[i].Kill()
	}
	g.wantFile(t, 1, c, data)
	g.wantFile(t, 9, name, text)
	for i := 2; i < 9; i++ {
		g.nodes[i] = g.up(t, g.dirs[i])
	}
	g.met(t)
	g.wantShares(t, 0, c, 10)

	g.server.Kill()
	other, more := randomFile(t, 1_500_000)
	var without string
	took := waittest.Took(func() { without = g.put(t, 9, other) })
	if took > 30*time.Second {
		t.Errorf("storing without the buckets took %v", took)
	} else {
		t.Logf("storing without the buckets took %v", took)
	}
	g.wantFile(t, 8, c, data)
	g.wantFile(t, 0, without, more)
	g.server.Restart()
	g.must(t, "repair", "-q", "--dir", g.dirs[9], without)
	g.wantShares(t, 9, without, 10)

	// Each node has a share of its own of the first two files. The third one was placed without the buckets: whether the others took more
	// than one share each then, so that there is none for this node, is a matter of how fast they were, and what it has others may have too.
	var leaving control.Status
	g.ask(t, &leaving, "status", "--dir", g.dirs[2])
	var third control.Report
	g.ask(t, &third, "check", "--dir", g.dirs[9], without)
	files := 2
	if len(third.Holders[share.ServerID(leaving.Node)]) > 0 {
		files++
	}
	var left control.LeaveReport
	g.ask(t, &left, "grid", "leave", "--dir", g.dirs[2])
	if left.Files != files || left.Moved < 2 || left.Failed != 0 {
		t.Errorf("left with %+v, want %d files", left, files)
	}
	g.wantShares(t, 9, c, 10)
	g.wantShares(t, 9, without, 10)
}

// TestBucketNodeKilled kills a node whose shares are in a bucket, and the bucket's server, in the middle of uploads: what was acknowledged is there.
func TestBucketNodeKilled(t *testing.T) {
	g := startBuckets(t, 1, 0)
	acknowledged := map[string][]byte{}
	large, data := randomFile(t, 80_000_000)
	for round := range 3 {
		for range 5 {
			path, text := randomFile(t, 3000)
			acknowledged[g.put(t, 0, path)] = text
		}
		put, stderr := command(t, "put", "-q", "--json", "--dir", g.dirs[0], large)
		var out bytes.Buffer
		put.Stdout = &out
		if err := put.Start(); err != nil {
			t.Fatal(err)
		}
		sent := usage(g.server.Dir)
		until(t, "several parts of the file are in the bucket", func() bool { return usage(g.server.Dir) > sent+18<<20 })
		if round > 0 {
			g.server.Kill()
		}
		if round < 2 {
			g.nodes[0].Kill()
			put.Wait()
		}
		if round > 0 {
			g.server.Restart()
		}
		if round < 2 {
			g.nodes[0] = g.up(t, g.dirs[0])
		} else {
			put.Wait()
		}
		if goesOn := round == 2; put.ProcessState.Success() != goesOn {
			t.Fatalf("round %d: the upload ended with status %d: %s", round, put.ProcessState.ExitCode(), stderr)
		}
		for c, text := range acknowledged {
			g.wantFile(t, 0, c, text)
		}
		if round < 2 {
			continue
		}
		var result control.PutResult
		if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.Resumed < 5<<20 {
			t.Errorf("%d bytes were resumed, %v", result.Resumed, err)
		}
	}
	g.wantFile(t, 0, g.put(t, 0, large), data)
	if left := g.server.Unfinished(); left != 0 {
		t.Errorf("%d unfinished uploads are left in the bucket", left)
	}
	if log := g.nodes[0].Log(); strings.Contains(log, s3test.Secret) {
		t.Error("the secret key is in the log")
	}
}
