package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"cairn/cmd/service"
	"cairn/node"
	"cairn/node/config"
)

// serviceOptions say whose service is meant.
type serviceOptions struct {
	user, system bool
	runAs        string
	print        bool
	start        bool
}

func newServiceCommand(a *app) *cobra.Command {
	o := &serviceOptions{}
	cmd := &cobra.Command{
		Use:   "service",
		Short: "run the node with the machine or the session",
		Long: help(`Makes the node a service: under systemd (Linux), launchd (macOS) or the Windows service manager it starts by itself,
and again when it fails.

--user, which needs no rights, makes it a service of your session; --system one of the machine. Without either it is
--system for the superuser and on Windows, and --user for everybody else. Every directory has a service of its own.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.BoolVar(&o.user, "user", false, "a service of your session")
	flags.BoolVar(&o.system, "system", false, "a service of the machine")
	cmd.MarkFlagsMutuallyExclusive("user", "system")
	cmd.AddCommand(newServiceInstallCommand(a, o),
		newServiceVerb(a, o, "start", "start the service", "Starts the service now.", startService),
		newServiceVerb(a, o, "stop", "stop the service", "Stops the service until it is started again, or the session or the machine is.",
			(*service.Service).Stop),
		newServiceVerb(a, o, "uninstall", "remove the service", "Stops the service and removes it. The node's directory and its shares stay as they are.",
			(*service.Service).Uninstall),
		newServiceStatusCommand(a, o))
	return cmd
}

func newServiceInstallCommand(a *app, o *serviceOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "have the node start by itself",
		Long: help(`Has the node start by itself from the next session or start of the machine on, and with --start also now.

Under systemd the node may write to its own directories only, gains no rights and, as a service of the machine, runs
as the owner of its directory unless --run-as names another account. --print shows the definition and installs
nothing.`),
		Example: "  cairn service install --start\n  sudo cairn --dir /var/lib/cairn service install --system --run-as cairn\n  cairn service install --print",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runServiceInstall(a, o) },
	}
	cmd.Flags().StringVar(&o.runAs, "run-as", "", "`ACCOUNT` that a service of the machine runs as (default: the owner of the directory)")
	cmd.Flags().BoolVar(&o.print, "print", false, "show the definition of the service and install nothing")
	cmd.Flags().BoolVar(&o.start, "start", false, "start the service now as well")
	return cmd
}

func runServiceInstall(a *app, o *serviceOptions) error {
	n, err := a.serviceNode(o)
	if err != nil {
		return err
	}
	if o.print {
		text := n.Definition(runtime.GOOS)
		return a.result(map[string]string{"service": n.Name, "definition": text}, func(w io.Writer) { fmt.Fprint(w, text) })
	}
	dir, err := node.Look(a.dir)
	if err == nil {
		_, err = dir.Grid() // without one the service would only fail
	}
	if err != nil {
		return err
	}
	s, err := openService(a, n)
	if err != nil {
		return err
	}
	if err := s.Install(); err != nil {
		return a.serviceHint(err, n)
	}
	if o.start {
		if err := startService(s); err != nil {
			return a.serviceHint(err, n)
		}
	}
	return a.reportInstalled(s, n, o)
}

func (a *app) reportInstalled(s *service.Service, n service.Node, o *serviceOptions) error {
	err := a.result(map[string]any{"service": n.Name, "scope": n.Scope, "manager": s.Manager(), "definition": s.Path(), "started": o.start},
		func(w io.Writer) {
			fmt.Fprintf(w, "installed service %s (%s, %s)\n", n.Name, n.Scope, s.Manager())
			if path := s.Path(); path != "" {
				fmt.Fprintf(w, "definition %s\n", path)
			}
		})
	if n.Scope == service.User && runtime.GOOS == "linux" {
		a.note("It runs while you are logged in; \"loginctl enable-linger\" has it run always.")
		a.note("Its log: journalctl --user -u %s", n.Name)
	} else if runtime.GOOS == "linux" {
		a.note("Its log: journalctl -u %s", n.Name)
	}
	if !o.start {
		a.note("next: \"%s\" starts it now", a.command("service start --"+string(n.Scope)))
	}
	return err
}

// newServiceVerb returns a verb that only needs the service.
func newServiceVerb(a *app, o *serviceOptions, name, short, long string, do func(*service.Service) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: help(long), Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			n, err := a.serviceNode(o)
			if err != nil {
				return err
			}
			s, err := openService(a, n)
			if err != nil {
				return err
			}
			if err := do(s); err != nil {
				return a.serviceHint(err, n)
			}
			return a.printServiceState(s, n)
		},
	}
}

func startService(s *service.Service) error { return s.Start() }

func newServiceStatusCommand(a *app, o *serviceOptions) *cobra.Command {
	return newServiceVerb(a, o, "status", "show whether the service runs",
		"Shows whether the service is installed and runs: running, stopped, failed or not installed.",
		func(*service.Service) error { return nil })
}

func (a *app) printServiceState(s *service.Service, n service.Node) error {
	state, err := s.State()
	if err != nil {
		return a.serviceHint(err, n)
	}
	return a.result(map[string]any{"service": n.Name, "scope": n.Scope, "manager": s.Manager(), "definition": s.Path(), "state": state},
		func(w io.Writer) { fmt.Fprintf(w, "service %s (%s, %s): %s\n", n.Name, n.Scope, s.Manager(), state) })
}

// serviceNode describes the node of the directory to a service manager.
func (a *app) serviceNode(o *serviceOptions) (service.Node, error) {
	c, _, err := a.loadConfig(nil)
	if err != nil {
		return service.Node{}, err
	}
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return service.Node{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return service.Node{}, about(err, "service")
	}
	n := service.Node{
		Name: serviceName(dir), Scope: o.scope(), Program: program, Arguments: []string{"--dir", dir, "up"},
		Dir: dir, Writable: writable(c, dir), RunAs: o.runAs,
	}
	if c.Log.File == "" && runtime.GOOS != "linux" { // systemd keeps a journal, the others do not
		n.Arguments = append(n.Arguments, "--set", "log.file="+detachedLog)
	}
	switch {
	case o.runAs != "" && n.Scope == service.User:
		return n, usagef("service: --run-as is for a service of the machine: add --system")
	case n.Scope == service.System && n.RunAs == "":
		n.RunAs = ownerOf(dir)
	}
	if err := n.Validate(); err != nil {
		return n, err
	}
	return n, nil
}

func (o *serviceOptions) scope() service.Scope {
	if o.system || !o.user && (runtime.GOOS == "windows" || os.Geteuid() == 0) {
		return service.System
	}
	return service.User
}

// writable returns what the node writes to outside of its directory.
func writable(c config.Config, dir string) []string {
	var paths []string
	if c.Storage.Enabled && filepath.IsAbs(c.Storage.Path) {
		paths = append(paths, c.Storage.Path)
	}
	if filepath.IsAbs(c.Log.File) {
		paths = append(paths, filepath.Dir(c.Log.File))
	}
	kept := paths[:0]
	for _, path := range paths {
		if within, err := filepath.Rel(dir, path); err != nil || within == ".." || strings.HasPrefix(within, ".."+string(filepath.Separator)) {
			kept = append(kept, path)
		}
	}
	return kept
}

// serviceName returns the name of the service of a directory: cairn for the one where a node is by default, a longer one
// for others, so that one machine can have several.
func serviceName(dir string) string {
	if home, err := os.UserHomeDir(); err == nil && dir == filepath.Join(home, ".cairn") {
		return "cairn"
	}
	digest := sha256.Sum256([]byte(dir))
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, filepath.Base(dir))
	if base == "" || strings.HasPrefix(base, "-") {
		base = "node" + base
	}
	return "cairn-" + base[:min(len(base), 32)] + "-" + hex.EncodeToString(digest[:3])
}

func openService(a *app, n service.Node) (*service.Service, error) {
	s, err := service.Open(n)
	if err != nil {
		return nil, a.serviceHint(about(err, "service %s", n.Name), n)
	}
	return s, nil
}

const noSession = "a session that su or sudo opened has no service manager: log in as this user directly, or use --system"

// serviceHint adds the next step to what went wrong with a service.
func (a *app) serviceHint(err error, n service.Node) error {
	text := err.Error()
	switch {
	case errors.Is(err, service.ErrNoManager):
		return withHint(err, "run \"%s\" from whatever starts programs here; \"%s\" shows what systemd would be told",
			a.command("up --detach"), a.command("service install --print"))
	case errors.Is(err, service.ErrNoUserServices):
		return withHint(err, "use --system from a console with an administrator's rights")
	case errors.Is(err, service.ErrInstalled):
		return withHint(err, "\"%s\" removes it first, where something about it is to change", a.command("service uninstall --"+string(n.Scope)))
	case errors.Is(err, service.ErrNotInstalled):
		return withHint(err, "\"%s\" installs it", a.command("service install --"+string(n.Scope)))
	case errors.Is(err, os.ErrPermission), strings.Contains(text, "Access is denied"), strings.Contains(text, "uthentication required"), strings.Contains(text, "ccess denied"):
		return withHint(err, "a service of the machine takes its administrator: use sudo, or --user for one of your session")
	case strings.Contains(text, "connect to") && strings.Contains(text, "bus"):
		return withHint(err, "%s", noSession)
	case runtime.GOOS == "linux" && n.Scope == service.User: // the library does not tell what systemctl complained of
		return withHint(err, "\"systemctl --user status\" tells more; %s", noSession)
	case runtime.GOOS == "linux":
		return withHint(err, "\"systemctl status %s\" and \"journalctl -u %s\" tell more", n.Name, n.Name)
	}
	return err
}
