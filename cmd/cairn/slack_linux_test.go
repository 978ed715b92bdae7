package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNodeIsLaxAboutTime looks at every thread of a node, those of the runtime among them.
func TestNodeIsLaxAboutTime(t *testing.T) {
	dir := alone(t)
	up, stderr := command(t, "up", "--dir", dir)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the node serves", func() bool {
		status, _ := command(t, "status", "--dir", dir)
		return status.Run() == nil
	})
	proc := fmt.Sprintf("/proc/%d", up.Process.Pid)
	threads, err := filepath.Glob(proc + "/task/*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads %q: %v", threads, err)
	}
	for _, thread := range threads {
		slack, err := os.ReadFile(filepath.Join("/proc", filepath.Base(thread), "timerslack_ns"))
		switch {
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EPERM):
			t.Skip("only root may ask for the timer slack of another process")
		case errors.Is(err, fs.ErrNotExist): // the thread has ended
		case err != nil || strings.TrimSpace(string(slack)) != "1000000":
			t.Errorf("thread %s: slack %s: %v", thread, slack, err)
		}
	}
	up.Process.Signal(syscall.SIGTERM)
	if err := up.Wait(); err != nil {
		t.Errorf("ended with %v: %s", err, stderr)
	}
}
