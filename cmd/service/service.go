// Package service makes a node a service of the machine, under systemd, launchd or the Windows service manager, so that it
// starts with the machine or the session and again when it fails.
//
// What the service manager is told (a unit, a property list, arguments) is written here, for a node; kardianos/service
// puts it in place and speaks to the manager.
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	lib "github.com/kardianos/service"
)

// A Scope says whose service it is.
type Scope string

// The scopes.
const (
	User   Scope = "user"   // of one person; it runs in that person's session
	System Scope = "system" // of the machine; it starts with it
)

// A State is what a service is doing.
type State string

// The states.
const (
	Running      State = "running"
	Stopped      State = "stopped"
	Failed       State = "failed"
	NotInstalled State = "not installed"
)

// Errors.
var (
	// ErrNoManager says that this machine has no service manager that is supported.
	ErrNoManager = errors.New("there is no service manager here that Cairn knows (systemd, launchd, Windows)")
	// ErrInstalled says that the service is there already.
	ErrInstalled = errors.New("the service is installed already")
	// ErrNotInstalled says that there is no such service.
	ErrNotInstalled = errors.New("the service is not installed")
	// ErrNoUserServices says that this system has services of the machine only.
	ErrNoUserServices = errors.New("there are no services of one user on Windows")
)

// A Node says what is to run, and how. All paths are absolute.
type Node struct {
	// Name is the name of the service.
	Name  string
	Scope Scope
	// Program is the program that runs the node, with Arguments.
	Program   string
	Arguments []string
	// Dir is the node's directory, Writable everything else that it writes to.
	Dir      string
	Writable []string
	// RunAs is the account that a System service runs as; empty for the manager's own.
	RunAs string
}

// Validate returns what keeps the node from being described to a service manager.
func (n Node) Validate() error {
	for _, text := range append([]string{n.Name, n.Program, n.Dir, n.RunAs}, append(n.Arguments, n.Writable...)...) {
		if strings.ContainsAny(text, "\n\r\x00") {
			return fmt.Errorf("service: %q: a line break cannot be written into the definition of a service", text)
		}
	}
	for _, path := range append([]string{n.Program, n.Dir}, n.Writable...) {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("service: %q is not an absolute path", path)
		}
	}
	return nil
}

// Definition returns what the service manager of the operating system (a GOOS) is told.
func (n Node) Definition(system string) string {
	switch system {
	case "darwin":
		return n.plist()
	case "windows":
		return n.windows()
	}
	return n.unit()
}

// A Service is a node as a service on this machine.
type Service struct {
	node    Node
	manager manager
	name    string
}

// A manager puts services in place. kardianos/service has one for each kind.
type manager interface {
	Install() error
	Uninstall() error
	Start() error
	Stop() error
	Status() (lib.Status, error)
}

// Open prepares to manage the node's service. It changes nothing. It returns ErrNoManager or ErrNoUserServices.
func Open(n Node) (*Service, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	platform := lib.Platform()
	switch platform {
	case "linux-systemd", "darwin-launchd":
	case "windows-service":
		if n.Scope == User {
			return nil, ErrNoUserServices
		}
	default:
		return nil, ErrNoManager
	}
	s, err := lib.New(idle{}, n.config(runtime.GOOS))
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", n.Name, err)
	}
	return &Service{node: n, manager: s, name: platform}, nil
}

// config returns the node for the library.
func (n Node) config(system string) *lib.Config {
	c := &lib.Config{
		Name: n.Name, DisplayName: n.description(), Description: n.description(),
		Executable: n.Program, Arguments: n.Arguments, UserName: n.RunAs,
		Option: lib.KeyValue{"UserService": n.Scope == User},
	}
	if system == "windows" {
		c.Option["OnFailure"], c.Option["OnFailureDelayDuration"], c.Option["DelayedAutoStart"] = "restart", "5s", true
		return c
	}
	// The definition travels as a value, since the library would take braces in a path for a template of its own.
	c.WorkingDirectory = n.Definition(system)
	c.Option["SystemdScript"], c.Option["LaunchdConfig"] = "{{WorkingDirectory}}", "{{WorkingDirectory}}"
	return c
}

func (n Node) description() string { return "Cairn storage node in " + n.Dir }

// Manager names the service manager, and Path the file that tells it of the service; it is empty on Windows.
func (s *Service) Manager() string { return s.name }

// Path returns where the definition of the service is.
func (s *Service) Path() string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // then the library cannot install it either
	}
	return s.node.path(runtime.GOOS, home)
}

func (n Node) path(system, home string) string {
	switch {
	case system == "windows":
		return ""
	case system == "darwin" && n.Scope == User:
		return filepath.Join(home, "Library", "LaunchAgents", n.Name+".plist")
	case system == "darwin":
		return filepath.Join("/Library", "LaunchDaemons", n.Name+".plist")
	case n.Scope == User:
		return filepath.Join(home, ".config", "systemd", "user", n.Name+".service")
	}
	return filepath.Join("/etc", "systemd", "system", n.Name+".service")
}

// Install puts the service in place and has it start with the machine or the session. It does not start it now. When it
// fails, nothing is left behind. It returns ErrInstalled when the service is there.
func (s *Service) Install() error {
	path := s.Path()
	if path != "" {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%w: %s", ErrInstalled, path)
		}
	}
	err := s.manager.Install()
	if err != nil && path != "" {
		err = errors.Join(err, ignoreMissing(os.Remove(path)))
	}
	return s.about("install", err)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Uninstall stops the service and takes it away. The node's directory stays. It returns ErrNotInstalled where it is not
// there.
func (s *Service) Uninstall() error {
	state, err := s.State()
	switch {
	case err != nil:
		return err
	case state == NotInstalled:
		return ErrNotInstalled
	case state == Running:
		if err := s.Stop(); err != nil {
			return err
		}
	}
	return s.about("uninstall", s.manager.Uninstall())
}

// Start starts the service now. It returns ErrNotInstalled where it is not there.
func (s *Service) Start() error { return s.act("start", s.manager.Start) }

// Stop stops the service until it is started again or the machine is. It returns ErrNotInstalled where it is not there.
func (s *Service) Stop() error { return s.act("stop", s.manager.Stop) }

func (s *Service) act(verb string, do func() error) error {
	switch state, err := s.State(); {
	case err != nil:
		return err
	case state == NotInstalled:
		return ErrNotInstalled
	}
	return s.about(verb, do())
}

// State asks the service manager what the service is doing.
func (s *Service) State() (State, error) {
	path := s.Path()
	if path != "" {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return NotInstalled, nil
		}
	}
	status, err := s.manager.Status()
	switch {
	case errors.Is(err, lib.ErrNotInstalled) && path != "":
		return Stopped, nil // the definition is there; the manager has not looked since
	case errors.Is(err, lib.ErrNotInstalled):
		return NotInstalled, nil
	case err != nil && strings.Contains(err.Error(), "failed state"):
		return Failed, nil
	case err != nil:
		return "", s.about("ask for", err)
	case status == lib.StatusRunning:
		return Running, nil
	}
	return Stopped, nil
}

func (s *Service) about(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s service %s (%s): %w", verb, s.node.Name, s.name, err)
}

// idle stands for the node where the library only manages it.
type idle struct{}

func (idle) Start(lib.Service) error { return nil }
func (idle) Stop(lib.Service) error  { return nil }

// Run runs a node until its context ends. Under the Windows service manager, which does not end a service by a signal, the
// context ends when the manager asks for it.
func Run(ctx context.Context, run func(context.Context) error) error {
	if runtime.GOOS != "windows" || lib.Interactive() {
		return run(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &program{ctx: ctx, cancel: cancel, run: run, done: make(chan struct{})}
	s, err := lib.New(p, &lib.Config{Name: "cairn"})
	if err != nil {
		return err
	}
	return errors.Join(s.Run(), p.err)
}

// A program runs a node for the Windows service manager.
type program struct {
	ctx    context.Context
	cancel context.CancelFunc
	run    func(context.Context) error
	done   chan struct{}
	err    error // set before done is closed
}

// Start returns at once, as the manager wants it. A node that ends by itself ends the process, which the manager takes for a
// failure unless the node was asked to.
func (p *program) Start(lib.Service) error {
	go func() {
		p.err = p.run(p.ctx)
		close(p.done)
		switch {
		case p.ctx.Err() != nil: // the manager asked for it, and waits in Stop
		case p.err != nil:
			os.Exit(1)
		default:
			os.Exit(0)
		}
	}()
	return nil
}

// Stop ends the node and waits for it.
func (p *program) Stop(lib.Service) error {
	p.cancel()
	<-p.done
	return p.err
}
