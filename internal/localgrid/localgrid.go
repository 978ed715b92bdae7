// Package localgrid starts and stops node processes on this machine: for the demo, for benchmarks and for tests that
// kill a node and look at what is left.
//
// It knows processes, folders and the text that a program prints, nothing of what the program does. A child never
// outlives the process that started it: the child's standard input is a pipe whose end tells it to stop, and where the
// kernel can (Linux) it kills the child with its parent.
package localgrid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Grid owns the processes of one group of nodes and the folder that holds theirs. Its methods may be called from
// several goroutines.
type Grid struct {
	config Config
	starts chan start
	done   chan struct{} // closed when the starter has ended

	mu        sync.Mutex // guards what follows
	processes map[*Process]struct{}
	finished  Usage
	closed    bool
}

// Config says what a grid is made of.
type Config struct {
	// Dir holds the folders of the nodes; Close does not remove it.
	Dir string
	// Program is the executable that Run and Start execute. It gets the environment of this process without the
	// variables whose names begin with Without (all are passed on when it is empty), and Env besides.
	Program string
	Env     []string
	Without string
}

// ErrClosed is returned for a process that is started after Close.
var ErrClosed = errors.New("the local grid is closed")

// New returns a grid without processes. The caller closes it.
func New(config Config) *Grid {
	g := &Grid{
		config: config, starts: make(chan start), done: make(chan struct{}),
		processes: map[*Process]struct{}{},
	}
	go g.starter()
	return g
}

type start struct {
	cmd    *exec.Cmd
	result chan<- error
}

// starter starts every process from one operating system thread that lives as long as the grid: Linux sends the
// death signal of a child when the thread that started it ends, not the process.
func (g *Grid) starter() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(g.done)
	for s := range g.starts {
		s.result <- s.cmd.Start()
	}
}

func (g *Grid) start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	result := make(chan error, 1)
	g.starts <- start{cmd, result}
	return <-result
}

// Dir returns the folder of the node with that name.
func (g *Grid) Dir(name string) string { return filepath.Join(g.config.Dir, name) }

func (g *Grid) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, g.config.Program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return g.config.Without != "" && strings.HasPrefix(variable, g.config.Without)
	}), g.config.Env...)
	dieWithParent(cmd)
	return cmd
}

// A RunError is the failure of a program that ran to its end.
type RunError struct {
	Args   []string
	Status int
	Stderr string
}

func (e *RunError) Error() string {
	return fmt.Sprintf("%q ended with status %d: %s", e.Args, e.Status, bytes.TrimSpace([]byte(e.Stderr)))
}

// Run runs the program to its end and returns what it printed. A failure is a *RunError.
func (g *Grid) Run(ctx context.Context, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := g.command(ctx, args)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &stdout, &stderr, 5*time.Second
	if err := g.start(cmd); err != nil {
		return nil, fmt.Errorf("start %q: %w", args, err)
	}
	err := cmd.Wait()
	g.account(cmd)
	if ctx.Err() != nil {
		return stdout.Bytes(), ctx.Err()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return stdout.Bytes(), &RunError{Args: args, Status: exit.ExitCode(), Stderr: stderr.String()}
	}
	return stdout.Bytes(), err
}

// account adds what an ended process used.
func (g *Grid) account(cmd *exec.Cmd) {
	used := usageOf(cmd.ProcessState)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finished = g.finished.plus(used)
}

// Close kills every process that is still running and waits for each.
func (g *Grid) Close() error {
	g.mu.Lock()
	running := make([]*Process, 0, len(g.processes))
	for p := range g.processes {
		running = append(running, p)
	}
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	if first {
		close(g.starts)
	}
	for _, p := range running {
		p.Kill()
	}
	<-g.done
	return nil
}

// Usage returns what all processes have used, the ended ones included.
func (g *Grid) Usage() Usage {
	g.mu.Lock()
	total := g.finished
	running := make([]*Process, 0, len(g.processes))
	for p := range g.processes {
		running = append(running, p)
	}
	g.mu.Unlock()
	for _, p := range running {
		if used, err := p.Usage(); err == nil {
			total = total.plus(used)
		}
	}
	return total
}
