package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
	"cairn/share"
	"cairn/share/capability"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killFilesEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(dir, os.Getenv(killFilesEnv+"_FROM")))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// start opens the node of a directory and runs it until the test ends or the returned function is called.
func start(t *testing.T, dir *node.Dir) (*node.Node, func()) {
	t.Helper()
	return startWith(t, dir, testConfig())
}

// startWith is start with other settings.
func startWith(t *testing.T, dir *node.Dir, c config.Config) (*node.Node, func()) {
	t.Helper()
	n, err := node.Open(t.Context(), dir.Path(), c, node.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- errors.Join(n.Run(ctx), n.Close()) }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func TestAlone(t *testing.T) {
	dir := newDir(t)
	if _, err := node.Open(t.Context(), dir.Path(), testConfig(), node.Options{}); !errors.Is(err, node.ErrNoGrid) {
		t.Fatalf("without a grid: %v, want ErrNoGrid", err)
	}
	if _, err := dir.Found(node.Founding{Name: "alone", Open: true}); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, dir)
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	status, err := client.Status(t.Context())
	if err != nil || status.Node != string(dir.ID()) || status.Nickname != "laptop" || status.Grid.Name != "alone" || !status.Storage.Enabled {
		t.Errorf("status %+v, %v", status, err)
	}
	data := make([]byte, 300_000)
	rand.Read(data)
	result, err := client.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(client *control.Client) {
		t.Helper()
		c, err := capability.Parse(result.Capability)
		if err != nil {
			t.Fatal(err)
		}
		d, err := client.Get(t.Context(), c, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var got bytes.Buffer
		if _, err := d.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d bytes came back of %d, %v", got.Len(), len(data), err)
		}
	}
	read(client)

	// A second node on the directory is refused, with the process that has it.
	_, err = node.Open(t.Context(), dir.Path(), testConfig(), node.Options{})
	if running, ok := errors.AsType[*node.RunningError](err); !ok || running.PID != os.Getpid() {
		t.Errorf("a second node on the directory: %v", err)
	}
	stop()
	if _, err := control.Dial(dir.Path()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("after it stopped: %v, want ErrNotRunning", err)
	}

	// Started again it has everything.
	start(t, dir)
	again, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	read(again)
}

func TestShutdown(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), dir.Path(), testConfig(), node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.Run(t.Context()); err != nil {
		t.Error(err)
	}
	n.Shutdown() // twice is once
	client.Close()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailedStartLeavesNothingRunning(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	first, _ := start(t, dir)
	second := newDir(t)
	if _, err := second.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Control.Address = first.Endpoint().Address
	if _, err := node.Open(t.Context(), second.Path(), c, node.Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the local API's port is taken: %v, want EADDRINUSE", err)
	}
	if _, err := os.Stat(filepath.Join(second.Path(), control.EndpointFile)); err == nil {
		t.Error("the node that did not start left its address behind")
	}
	start(t, second) // lock, disk and port are free again
}

// TestWrongClock shows that a node whose clock is behind its grid says so, and works.
func TestWrongClock(t *testing.T) {
	dir := newDir(t)
	future, _, err := introducer.Found("g", share.Params{}, true, time.Now().Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.NewAddress(future, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Join(address); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	n, err := node.Open(t.Context(), dir.Path(), testConfig(), node.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "clock is wrong") {
		t.Errorf("the log does not mention the clock:\n%s", &log)
	}
}

// TestDamagedIndex shows that a node repairs its own bookkeeping, and what it acknowledged is still there.
func TestDamagedIndex(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, dir)
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	data := make([]byte, 300_000)
	rand.Read(data)
	result, err := client.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	damaged := 0
	err = filepath.WalkDir(filepath.Join(dir.Path(), "storage", "index"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		damaged++
		return os.WriteFile(path, []byte("not what it was"), 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d files damaged, %v", damaged, err)
	}
	start(t, dir)
	again, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	c, err := capability.Parse(result.Capability)
	if err != nil {
		t.Fatal(err)
	}
	d, err := again.Get(t.Context(), c, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got bytes.Buffer
	if _, err := d.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes came back of %d, %v", got.Len(), len(data), err)
	}
}

// TestFileThatChanged shows that a file which is not what was announced is not stored as if it were.
func TestFileThatChanged(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, size := range []int{20, 300_000} {
		data := make([]byte, size)
		announced := share.Digest(sha256.Sum256(data))
		data[size-1] = 1
		_, err := client.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(size), Digest: &announced}, nil)
		e, ok := errors.AsType[*control.Error](err)
		if !ok || e.Code != control.CodeFailed || !strings.Contains(e.Message, control.ErrChanged.Error()) || e.Hint == "" {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
