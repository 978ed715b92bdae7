package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// An output is written by a process while the test looks at it.
type output struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// TestInterruptedDemoLeavesNothing interrupts the demo in the middle, and kills it without warning: no node outlives it.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks for processes in /proc")
	}
	for _, kill := range []bool{false, true} {
		dir := t.TempDir()
		demo, stderr := command(t, "demo")
		out := &output{}
		demo.Stdout = out
		demo.Env = append(demo.Env, "TMPDIR="+dir)
		if err := demo.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "the demo stores its file", func() bool { return strings.Contains(out.String(), "2. Store") })
		if processesIn(t, dir) == 0 {
			t.Fatal("no node runs while the demo does")
		}
		if kill {
			demo.Process.Kill()
			demo.Wait()
			until(t, "the nodes have noticed", func() bool { return processesIn(t, dir) == 0 })
			continue
		}
		demo.Process.Signal(os.Interrupt)
		demo.Wait()
		if status := demo.ProcessState.ExitCode(); status != statusInterrupted {
			t.Errorf("interrupted it ended with status %d: %s", status, stderr)
		}
		if n := processesIn(t, dir); n > 0 {
			t.Errorf("%d nodes are left", n)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// processesIn returns how many processes run a node in a directory below dir.
func processesIn(t *testing.T, dir string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			count++
		}
	}
	return count
}

func TestNames(t *testing.T) {
	for want, numbers := range map[string][]int{
		"": {}, "node-01": {1}, "node-01 and node-02": {1, 2}, "node-01 to node-03": {1, 2, 3},
		"node-01 and node-03": {1, 3}, "node-01, node-04 to node-06 and node-09": {1, 4, 5, 6, 9},
	} {
		var nodes []*localNode
		for _, number := range numbers {
			nodes = append(nodes, &localNode{Name: "node-0" + string(rune('0'+number)), number: number})
		}
		if got := names(nodes); got != want {
			t.Errorf("names of %v: %q, want %q", numbers, got, want)
		}
	}
}

func TestStoryHasColourOnTerminalsOnly(t *testing.T) {
	var out bytes.Buffer
	s := newStory(&out, false, false)
	s.note("%s", s.paint("1", "plain"))
	if out.String() != "plain\n" {
		t.Errorf("%q was written to a file", out.String())
	}
}

func TestStoryGivesNoRateOfASmallFile(t *testing.T) {
	for bytes, want := range map[int64]bool{5_000: false, 5_000_000: true} {
		var out strings.Builder
		s := &step{story: &story{out: &out}}
		s.started = time.Now().Add(-time.Second)
		s.rate(bytes)
		s.stop()
		s.print()
		if got := strings.Contains(out.String(), "MB/s"); got != want {
			t.Errorf("%d bytes: %q", bytes, out.String())
		}
	}
}
