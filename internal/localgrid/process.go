package localgrid

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// A Process is one program that runs until it is stopped. Its methods may be called from several goroutines.
type Process struct {
	grid  *Grid
	cmd   *exec.Cmd
	stdin io.Closer
	log   *tail
	ended chan struct{} // closed once the process has ended and was waited for
	err   error         // of Wait, to be read after ended
}

// Start starts the program and returns once it has written a line that holds the word ready, to standard output or
// standard error. The context bounds only that wait. The error of a program that ends before that quotes its last lines.
func (g *Grid) Start(ctx context.Context, ready string, args ...string) (*Process, error) {
	cmd := g.command(context.Background(), args)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out := newTail(ready)
	cmd.Stdout, cmd.Stderr = out, out
	p := &Process{grid: g, cmd: cmd, stdin: stdin, log: out, ended: make(chan struct{})}
	if err := g.start(cmd); err != nil {
		stdin.Close()
		return nil, fmt.Errorf("start %q: %w", args, err)
	}
	g.mu.Lock()
	g.processes[p] = struct{}{}
	g.mu.Unlock()
	go p.wait()
	select {
	case <-out.seen:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("%q ended before it was ready: %v\n%s", args, p.err, out)
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("%q was not ready in time: %w\n%s", args, ctx.Err(), out)
	}
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	p.grid.account(p.cmd)
	p.grid.mu.Lock()
	delete(p.grid.processes, p)
	p.grid.mu.Unlock()
	close(p.ended)
}

// Kill ends the process at once, as a power cut would, and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.stdin.Close()
	<-p.ended
}

// Stop asks the process to end, and kills it when the context ends first.
func (p *Process) Stop(ctx context.Context) {
	p.stdin.Close()
	interrupt(p.cmd.Process)
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.Kill()
	}
}

// Pid returns the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Log returns the last lines that the process wrote.
func (p *Process) Log() string { return p.log.String() }

// tailLines bounds what is kept of a process's output.
const tailLines = 200

// A tail keeps the last lines written to it and notices the first that holds a word.
type tail struct {
	mu    sync.Mutex // guards what follows
	word  string
	lines []string
	open  []byte // a line without its end
	seen  chan struct{}
}

func newTail(word string) *tail { return &tail{word: word, seen: make(chan struct{})} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, p...)
	for {
		advance, line, _ := bufio.ScanLines(t.open, false)
		if advance == 0 {
			break
		}
		t.add(string(line))
		t.open = t.open[advance:]
	}
	if len(t.open) > 64<<10 {
		t.add(string(t.open))
		t.open = nil
	}
	return len(p), nil
}

func (t *tail) add(line string) {
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
	if t.word != "" && strings.Contains(line, t.word) {
		t.word = ""
		close(t.seen)
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(t.lines, string(t.open)), "\n")
}
