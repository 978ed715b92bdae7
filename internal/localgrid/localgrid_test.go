package localgrid_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"cairn/internal/localgrid"
)

// The test binary plays the programs: the variable says which.
const role = "CAIRN_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "node":
		fmt.Println("starting")
		fmt.Fprintln(os.Stderr, "now ready at last")
		io.Copy(io.Discard, os.Stdin)
		fmt.Println("stopped in order")
	case "broken":
		fmt.Fprintln(os.Stderr, "the port is taken")
		os.Exit(3)
	case "silent":
		time.Sleep(time.Hour) // an empty select ends the program where nothing else runs
	case "environment":
		fmt.Print(os.Environ())
	case "echo":
		fmt.Print(strings.Join(os.Args[1:], " "))
	case "parent":
		g := localgrid.New(localgrid.Config{Program: os.Args[0], Env: []string{role + "=node"}})
		p, err := g.Start(context.Background(), "ready")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("child", p.Pid())
		time.Sleep(time.Hour) // an empty select ends the program where nothing else runs
	}
}

func open(t *testing.T, as string) *localgrid.Grid {
	t.Helper()
	g := localgrid.New(localgrid.Config{Dir: t.TempDir(), Program: os.Args[0], Env: []string{role + "=" + as}})
	t.Cleanup(func() { g.Close() })
	return g
}

func TestRunReturnsOutput(t *testing.T) {
	out, err := open(t, "echo").Run(t.Context(), "put", "-")
	if err != nil || string(out) != "put -" {
		t.Errorf("output %q, error %v", out, err)
	}
}

func TestEnvironmentIsFiltered(t *testing.T) {
	t.Setenv("CAIRN_STORAGE_PATH", "/somewhere/precious")
	g := localgrid.New(localgrid.Config{Program: os.Args[0], Without: "CAIRN_", Env: []string{role + "=environment"}})
	defer g.Close()
	out, err := g.Run(t.Context())
	if err != nil || strings.Contains(string(out), "precious") || !strings.Contains(string(out), "PATH=") {
		t.Errorf("environment %s, error %v", out, err)
	}
}

func TestRunReportsStatus(t *testing.T) {
	_, err := open(t, "broken").Run(t.Context())
	failed, ok := errors.AsType[*localgrid.RunError](err)
	if !ok || failed.Status != 3 || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("error %v, want status 3 and what was printed", err)
	}
}

func TestStartKillAndStop(t *testing.T) {
	g := open(t, "node")
	killed, err := g.Start(t.Context(), "ready")
	if err != nil {
		t.Fatal(err)
	}
	killed.Kill()
	if strings.Contains(killed.Log(), "in order") {
		t.Error("a killed process stopped in order")
	}
	stopped, err := g.Start(t.Context(), "starting")
	if err != nil {
		t.Fatal(err)
	}
	stopped.Stop(t.Context())
	select {
	case <-stopped.Ended():
	default:
		t.Error("Stop returned before the process ended")
	}
}

func TestStartReportsEarlyEnd(t *testing.T) {
	_, err := open(t, "broken").Start(t.Context(), "ready")
	if err == nil || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("error %v, want what the program printed", err)
	}
}

func TestStartGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := open(t, "silent").Start(ctx, "ready"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that it was not ready in time", err)
	}
}

func TestCloseKillsAll(t *testing.T) {
	g := open(t, "silent")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := open(t, "node")
	p, err := running.Start(ctx, "ready")
	if err != nil {
		t.Fatal(err)
	}
	running.Close()
	<-p.Ended()
	if _, err := running.Start(ctx, "ready"); !errors.Is(err, localgrid.ErrClosed) {
		t.Errorf("start after Close: %v", err)
	}
	g.Close()
}

func TestUsageCountsProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a running process uses")
	}
	g := open(t, "node")
	p, err := g.Start(t.Context(), "ready")
	if err != nil {
		t.Fatal(err)
	}
	used, err := p.Usage()
	if err != nil || used.PeakBytes < 1<<20 {
		t.Errorf("usage %+v, error %v", used, err)
	}
	p.Kill()
	if total := g.Usage(); total.PeakBytes < 1<<20 {
		t.Errorf("usage after the end %+v", total)
	}
}
