package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cairn/internal/awake"
	"cairn/node"
	"cairn/node/config"
	"cairn/node/control"
)

// detachedLog is where a node logs that runs in the background, unless log.file says otherwise.
const detachedLog = "node.log"

const (
	// detachedWithin is how long a node in the background may take to start before it is reported as slow.
	detachedWithin = 2 * time.Minute
	startPoll      = 50 * time.Millisecond
	maxComplaint   = 16 << 10
)

// runDetached starts the node as a process of its own and returns when it serves, or says why it does not.
func runDetached(ctx context.Context, a *app, o *upOptions, c config.Config) error {
	if pid, running, err := node.Running(a.dir); err != nil {
		return err
	} else if running {
		return &node.RunningError{Dir: a.dir, PID: pid}
	}
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return err
	}
	args := []string{"--dir", dir, "up"}
	for _, pair := range o.set {
		args = append(args, "--set", pair)
	}
	if c.Log.File == "" {
		c.Log.File = detachedLog
		args = append(args, "--set", "log.file="+detachedLog)
	}
	// What the process says outside its log, such as why it ends, goes to the end of the log as well.
	log, err := openLogFile(a.logPath(c.Log), 0, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	passphrase, err := a.checkedPassphrase()
	if err != nil {
		return err
	}
	if passphrase != "" {
		args = append(args, "--passphrase-file", "-")
	}
	child, err := startDetached(args, passphrase, log.file)
	if err != nil {
		return about(err, "start the node")
	}
	ended := make(chan struct{})
	go func() { // ends with this process at the latest
		defer close(ended)
		_ = child.Wait() // how it ended is in the log
	}()
	if err := awaitDetached(ctx, a, child.Process, ended); err != nil {
		if errors.Is(err, errEnded) {
			return &endedError{complaint(a.logPath(c.Log), log.size), child.ProcessState.ExitCode()}
		}
		return err
	}
	a.note("the node runs in the background and logs to %s; \"%s\" ends it", a.logPath(c.Log), a.command("stop"))
	a.noteBucket(ctx)
	return a.announceDetached(child.Process.Pid)
}

// noteBucket says why the bucket behind the disk is not in use, if so.
func (a *app) noteBucket(ctx context.Context) {
	client, err := a.client()
	if err != nil {
		return
	}
	defer client.Close()
	s, err := client.Spill(ctx)
	if err != nil || s.Problem == "" {
		return // "spill status" tells it to who asks
	}
	state := "is not in use"
	if s.Open {
		state = "takes nothing"
	}
	a.note("the bucket %s %s: %s", s.Bucket, state, s.Problem)
	if s.Locked {
		a.noteLocked()
		return
	}
	a.note("the node tries again by itself; \"%s\" says more", a.command("spill test"))
}

// startDetached starts this program again with its output in the file. A passphrase goes to its standard input, which nobody else
// can read.
func startDetached(args []string, passphrase string, output *os.File) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(program, args...)
	if passphrase != "" {
		child.Stdin = strings.NewReader(passphrase + "\n")
	}
	child.Stdout, child.Stderr, child.SysProcAttr = output, output, detached()
	child.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == leashVariable || name == "NOTIFY_SOCKET"
	})
	return child, child.Start()
}

// errEnded says that the process ended instead of serving.
var errEnded = errors.New("the node ended")

// An endedError says why the process ended, and with which status; -1 where it was killed.
type endedError struct {
	error
	status int
}

func (e *endedError) Unwrap() error { return e.error }

// awaitDetached returns nil once the process serves the node's local API. When somebody interrupts, it ends the process.
func awaitDetached(ctx context.Context, a *app, child *os.Process, ended <-chan struct{}) error {
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	late := awake.NewTimer(detachedWithin)
	defer late.Stop()
	for {
		if serves(ctx, a, child.Pid) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ended:
			return errEnded
		case <-late.C:
			return withHint(fmt.Errorf("the node (process %d) does not serve after %v; it is left running", child.Pid, detachedWithin),
				"\"%s\" shows whether it does later", a.command("status"))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), child.Kill())
		}
	}
}

// serves reports whether that process answers as the directory's node.
func serves(ctx context.Context, a *app, pid int) bool {
	client, err := a.client()
	if err != nil || client.Endpoint().PID != pid {
		return false
	}
	defer client.Close()
	_, err = client.Status(ctx)
	return err == nil
}

// complaint turns what a process wrote before it ended into an error with its hint.
func complaint(path string, from int64) error {
	none := withHint(errors.New("the node ended as soon as it was started"), "see the end of %s", path)
	file, err := os.Open(path)
	if err != nil {
		return none
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return none
	}
	data, err := io.ReadAll(io.LimitReader(file, maxComplaint))
	if err != nil {
		return none
	}
	var said, hint string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "cairn: "); ok {
			said = text
		} else if text, ok := strings.CutPrefix(line, "next: "); ok && said != "" {
			hint = text
		}
	}
	switch {
	case said == "":
		return none
	case hint == "":
		hint = "see the end of " + path
	}
	return withHint(errors.New(said), "%s", hint)
}

// announceDetached prints the process that runs the node now.
func (a *app) announceDetached(pid int) error {
	endpoint, err := control.ReadEndpoint(a.dir)
	if err != nil {
		return err
	}
	return a.result(struct {
		Node    string `json:"node"`
		Address string `json:"address"`
		PID     int    `json:"pid"`
	}{endpoint.Node, endpoint.Address, pid}, func(w io.Writer) { fmt.Fprintln(w, pid) })
}
