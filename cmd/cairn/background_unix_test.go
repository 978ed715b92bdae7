//go:build unix

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cairn/internal/waittest"
)

// alone makes a node that is the only one of its grid, and returns its directory.
func alone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	for _, args := range [][]string{
		{"init", "-q", "--dir", dir, "--listen", "/ip4/127.0.0.1/tcp/0"}, {"grid", "create", "g", "--open", "-q", "--dir", dir},
	} {
		cmd, stderr := command(t, args...)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
	}
	return dir
}

// TestServiceManagerIsTold starts and stops a node under something that listens as systemd does.
func TestServiceManagerIsTold(t *testing.T) {
	dir := alone(t)
	folder, err := os.MkdirTemp("", "cairn") // the names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.SetReadDeadline(time.Now().Add(time.Minute))
	told := func() string {
		buffer := make([]byte, 1000)
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
	up, stderr := command(t, "up", "--dir", dir)
	up.Env = append(up.Env, "NOTIFY_SOCKET="+path)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	if got := told(); !strings.HasPrefix(got, "READY=1\nSTATUS=node 12D3KooW") {
		t.Errorf("told %q", got)
	}
	status, stderr2 := command(t, "status", "--dir", dir)
	if err := status.Run(); err != nil {
		t.Errorf("a node that said it is ready does not serve: %v: %s", err, stderr2)
	}
	up.Process.Signal(syscall.SIGTERM)
	if got := told(); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("ended with %v: %s", err, stderr)
	}
}

// TestDetachedNodeOutlivesItsTerminal finds the node in a session of its own, and asks about one that hangs.
func TestDetachedNodeOutlivesItsTerminal(t *testing.T) {
	dir := alone(t)
	up, stderr := command(t, "up", "--detach", "--dir", dir)
	up.Env = append(up.Env, leashVariable+"=1") // a leash is for the process that holds it
	out, err := up.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	own, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	if session, err := unix.Getsid(pid); err != nil || session == own || session != pid {
		t.Errorf("the node %d is in session %d, the terminal's is %d: %v", pid, session, own, err)
	}

	syscall.Kill(pid, syscall.SIGSTOP)
	took := waittest.Took(func() {
		doctor, _ := command(t, "doctor", "--dir", dir)
		out, err = doctor.Output()
	})
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != statusFailed || !strings.Contains(string(out), "does not answer within 5s") {
		t.Errorf("of a node that hangs: %v\n%s", err, out)
	}
	if took > 30*time.Second {
		t.Errorf("a hung node held up the diagnosis for %v", took)
	}
	syscall.Kill(pid, syscall.SIGCONT)
	stop, stderr := command(t, "stop", "--dir", dir)
	if err := stop.Run(); err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
}
