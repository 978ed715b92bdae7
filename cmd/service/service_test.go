package service

import (
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	lib "github.com/kardianos/service"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func attic() Node {
	return Node{
		Name: "cairn-attic", Program: "/usr/local/bin/cairn", Arguments: []string{"--dir", "/srv/attic disk", "up"},
		Dir: "/srv/attic disk", Writable: []string{"/mnt/shares"}, RunAs: "cairn", Scope: System,
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestDefinitions(t *testing.T) {
	user := attic()
	user.Scope, user.RunAs = User, ""
	golden(t, "system.service", attic().Definition("linux"))
	golden(t, "user.service", user.Definition("linux"))
	golden(t, "daemon.plist", attic().Definition("darwin"))
	golden(t, "agent.plist", user.Definition("darwin"))
	golden(t, "windows.txt", strings.ReplaceAll(attic().Definition("windows"), "\r\n", "\n"))
}

// TestSystemdAcceptsUnits asks systemd itself, where it is installed.
func TestSystemdAcceptsUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	n := attic()
	n.Dir = t.TempDir()
	n.Program, err = os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.RunAs = "root"
	n.Writable = []string{filepath.Join(n.Dir, `odd $HOME %h "x" \n {{Name}}`)}
	n.Arguments = []string{"--dir", n.Writable[0], "up"}
	path := filepath.Join(t.TempDir(), "cairn-test.service")
	for _, scope := range []Scope{System, User} {
		n.Scope = scope
		if err := os.WriteFile(path, []byte(n.unit()), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(analyze, "verify", "--man=no", "--"+string(scope), path)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "cairn-test") {
			t.Errorf("%s unit: %v\n%s\n%s", scope, err, out, n.unit())
		}
	}
}

func TestWordsAreQuoted(t *testing.T) {
	n := attic()
	n.Program = `/opt/a "b"/$x/50%/cairn`
	n.Dir = `/srv/50% "x"`
	if unit := n.unit(); !strings.Contains(unit, `ExecStart="/opt/a \"b\"/$$x/50%%/cairn" "--dir"`) || !strings.Contains(unit, `ReadWritePaths="/srv/50%% \"x\""`) {
		t.Errorf("not quoted as systemd wants it:\n%s", unit)
	}
	n = attic()
	n.Dir = "/Users/a&b <c>"
	n.Arguments = []string{"--dir", n.Dir, "up"}
	var doc struct {
		Dict struct {
			Strings []string `xml:"string"`
			Array   struct {
				Strings []string `xml:"string"`
			} `xml:"array"`
		} `xml:"dict"`
	}
	if err := xml.Unmarshal([]byte(n.plist()), &doc); err != nil {
		t.Fatalf("%v\n%s", err, n.plist())
	}
	if want := append([]string{n.Program}, n.Arguments...); cmp.Diff(want, doc.Dict.Array.Strings) != "" {
		t.Errorf("arguments %q, want %q", doc.Dict.Array.Strings, want)
	}
}

func TestValidate(t *testing.T) {
	if err := attic().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Node){
		"a line break":    func(n *Node) { n.Arguments = append(n.Arguments, "a\nExecStartPre=/bin/evil") },
		"in the account":  func(n *Node) { n.RunAs = "root\nx" },
		"relative dir":    func(n *Node) { n.Dir = "attic" },
		"relative path":   func(n *Node) { n.Writable = []string{"shares"} },
		"relative binary": func(n *Node) { n.Program = "cairn" },
	} {
		n := attic()
		change(&n)
		if err := n.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Open(n); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestConfigForTheLibrary(t *testing.T) {
	n := attic()
	c := n.config("windows")
	if cmp.Diff(n.Arguments, c.Arguments) != "" || c.Option["OnFailure"] != "restart" || c.UserName != "cairn" || c.Executable != n.Program {
		t.Errorf("Windows: %+v", c)
	}
	if c = n.config("linux"); c.WorkingDirectory != n.unit() || c.Option["UserService"] != false || c.Option["SystemdScript"] != "{{WorkingDirectory}}" {
		t.Errorf("systemd: %+v", c)
	}
	n.Scope = User
	if c = n.config("darwin"); c.WorkingDirectory != n.plist() || c.Option["UserService"] != true {
		t.Errorf("launchd: %+v", c)
	}
}

func TestPaths(t *testing.T) {
	system, user := attic(), attic()
	user.Scope = User
	for want, got := range map[string]string{
		"/etc/systemd/system/cairn-attic.service":          system.path("linux", "/home/a"),
		"/home/a/.config/systemd/user/cairn-attic.service": user.path("linux", "/home/a"),
		"/Library/LaunchDaemons/cairn-attic.plist":         system.path("darwin", "/Users/a"),
		"/Users/a/Library/LaunchAgents/cairn-attic.plist":  user.path("darwin", "/Users/a"),
		"": system.path("windows", `C:\Users\a`),
	} {
		if filepath.ToSlash(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// fakeManager is a service manager that does as it is told.
type fakeManager struct {
	path   string // of the definition; empty for none
	status lib.Status
	state  error // of Status
	fail   error // of everything else
	done   []string
}

func (f *fakeManager) do(verb string) error {
	f.done = append(f.done, verb)
	return f.fail
}

func (f *fakeManager) Install() error {
	if err := os.WriteFile(f.path, []byte("x"), 0o600); err != nil {
		return err
	}
	return f.do("install")
}

func (f *fakeManager) Uninstall() error            { return errors.Join(os.Remove(f.path), f.do("uninstall")) }
func (f *fakeManager) Start() error                { return f.do("start") }
func (f *fakeManager) Stop() error                 { return f.do("stop") }
func (f *fakeManager) Status() (lib.Status, error) { return f.status, f.state }

func fakeService(t *testing.T) (*Service, *fakeManager) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("services have no definition in a file here")
	}
	t.Setenv("HOME", t.TempDir())
	n := attic()
	n.Scope, n.RunAs = User, ""
	f := &fakeManager{status: lib.StatusStopped}
	s := &Service{node: n, manager: f, name: "fake"}
	f.path = s.Path()
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		t.Fatal(err)
	}
	return s, f
}

func TestLifeOfAService(t *testing.T) {
	s, f := fakeService(t)
	for verb, do := range map[string]func() error{"start": s.Start, "stop": s.Stop, "uninstall": s.Uninstall} {
		if err := do(); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%s before it is installed: %v", verb, err)
		}
	}
	if state, err := s.State(); state != NotInstalled || err != nil {
		t.Errorf("%s, %v before it is installed", state, err)
	}
	if err := s.Install(); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(); !errors.Is(err, ErrInstalled) {
		t.Errorf("installed twice: %v", err)
	}
	for want, status := range map[State]lib.Status{Running: lib.StatusRunning, Stopped: lib.StatusStopped} {
		f.status = status
		if state, err := s.State(); state != want || err != nil {
			t.Errorf("state %s, %v; want %s", state, err, want)
		}
	}
	f.state = errors.New("service in failed state")
	if state, err := s.State(); state != Failed || err != nil {
		t.Errorf("state %s, %v; want failed", state, err)
	}
	f.state = lib.ErrNotInstalled // systemd has not read the unit yet
	if state, err := s.State(); state != Stopped || err != nil {
		t.Errorf("state %s, %v; want stopped", state, err)
	}
	f.state, f.status = nil, lib.StatusRunning
	if err := s.Uninstall(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"install", "stop", "uninstall"}, f.done); diff != "" {
		t.Errorf("what the manager was told (-want +got):\n%s", diff)
	}
}

func TestFailedInstallLeavesNothing(t *testing.T) {
	s, f := fakeService(t)
	f.fail = errors.New("no bus")
	if err := s.Install(); err == nil || !strings.Contains(err.Error(), "install service cairn-attic (fake): no bus") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(f.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind", f.path)
	}
}

func TestRunPassesOn(t *testing.T) {
	odd := errors.New("odd")
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, func(got context.Context) error {
		cancel()
		<-got.Done()
		return odd
	})
	if !errors.Is(err, odd) {
		t.Errorf("error %v", err)
	}
}

// TestProgram runs a node as the Windows service manager does.
func TestProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &program{ctx: ctx, cancel: cancel, done: make(chan struct{}), run: func(ctx context.Context) error {
		<-ctx.Done()
		return io.ErrUnexpectedEOF
	}}
	if err := p.Start(nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stopped with %v", err)
	}
}
