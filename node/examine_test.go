package node

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cairn/node/config"
	"cairn/node/doctor"
	"cairn/p2p"
)

// exam makes a node of a grid and returns its examination.
func exam(t *testing.T) Examination {
	t.Helper()
	c := config.Default()
	c.Network.Listen, c.Storage.Reserve = []string{"/ip4/127.0.0.1/tcp/0"}, 0
	dir, err := Init(filepath.Join(t.TempDir(), "node"), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Found(Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	return Examination{Path: dir.Path(), Config: c, Used: -1}
}

func states(checks []doctor.Check) map[string]doctor.State {
	all := map[string]doctor.State{}
	for _, c := range checks {
		all[c.Name] = c.State
	}
	return all
}

func TestExamineAHealthyNode(t *testing.T) {
	e := exam(t)
	var checks []doctor.Check
	eventually(t, "the disk is not too busy to be called fast", func() bool {
		checks = e.Checks(t.Context())
		return states(checks)["disk"] != doctor.Warn
	})
	for _, c := range checks {
		if c.State != doctor.OK {
			t.Errorf("%+v", c)
		}
	}
	for _, name := range []string{"directory", "keys", "configuration", "grid", "disk", "disk space", "ports"} {
		if states(checks)[name] == "" {
			t.Errorf("nothing is said of %s", name)
		}
	}
	e.Running = true
	if states(e.Checks(t.Context()))["ports"] != "" {
		t.Error("the ports of a running node are looked for, which has them itself")
	}
	e.Config.Storage.Enabled = false
	if states(e.Checks(t.Context()))["disk"] != "" {
		t.Error("the disk of a gateway is looked at")
	}
	entries, err := os.ReadDir(e.Path)
	if err != nil || slices.ContainsFunc(entries, func(f os.DirEntry) bool { return strings.Contains(f.Name(), "doctor") }) {
		t.Errorf("files are left behind: %v, %v", entries, err)
	}
}

func TestExamineFindsWhatIsWrong(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	for what, try := range map[string]struct {
		harm  func(*Examination) error
		check string
	}{
		"no directory":   {func(e *Examination) error { return os.RemoveAll(e.Path) }, "directory"},
		"no node":        {func(e *Examination) error { return os.Remove(filepath.Join(e.Path, identityFile)) }, "directory"},
		"a damaged key":  {func(e *Examination) error { return os.WriteFile(filepath.Join(e.Path, identityFile), nil, 0o600) }, "keys"},
		"a lost secret":  {func(e *Examination) error { return os.Remove(filepath.Join(e.Path, convergenceFile)) }, "keys"},
		"wrong settings": {func(e *Examination) error { e.ConfigErr = errors.New("line 1: no"); return nil }, "configuration"},
		"no grid":        {func(e *Examination) error { return os.Remove(filepath.Join(e.Path, gridFile)) }, "grid"},
		"a damaged grid": {func(e *Examination) error { return os.WriteFile(filepath.Join(e.Path, gridFile), []byte("x"), 0o600) }, "grid"},
		"a port is taken": {func(e *Examination) error {
			e.Config.Network.Listen = []string{"/ip4/127.0.0.1/tcp/" + port}
			return nil
		}, "ports"},
		"the API's port is": {func(e *Examination) error { e.Config.Control.Address = "127.0.0.1:" + port; return nil }, "ports"},
		"no disk":           {func(e *Examination) error { e.Config.Storage.Path = filepath.Join(e.Path, "none", "x"); return nil }, "disk"},
	} {
		t.Run(what, func(t *testing.T) {
			e := exam(t)
			if err := try.harm(&e); err != nil {
				t.Fatal(err)
			}
			checks := e.Checks(t.Context())
			for _, c := range checks {
				if (c.State == doctor.Fail) != (c.Name == try.check) {
					t.Errorf("%+v", c)
				}
			}
			if states(checks)[try.check] != doctor.Fail {
				t.Errorf("not found: %+v", checks)
			}
		})
	}
}

func TestExamineFindsADamagedRoster(t *testing.T) {
	c := config.Default()
	c.Network.Listen, c.Storage.Reserve = []string{"/ip4/127.0.0.1/tcp/0"}, 0
	dir, err := Init(filepath.Join(t.TempDir(), "node"), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Found(Founding{Name: "g", Nickname: "anna"}); err != nil {
		t.Fatal(err)
	}
	e := Examination{Path: dir.Path(), Config: c, Used: -1}
	if got := states(e.Checks(t.Context()))["grid"]; got != doctor.OK {
		t.Errorf("a whole roster: %s", got)
	}
	if err := os.Truncate(dir.file(rosterFile), 100); err != nil {
		t.Fatal(err)
	}
	if got := states(e.Checks(t.Context()))["grid"]; got != doctor.Fail {
		t.Errorf("a damaged roster: %s", got)
	}
}

func TestRunning(t *testing.T) {
	e := exam(t)
	if _, running, err := Running(filepath.Join(e.Path, "none")); running || err != nil {
		t.Errorf("a directory without a node: %v, %v", running, err)
	}
	dir, err := OpenDir(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := dir.lock()
	if err != nil {
		t.Fatal(err)
	}
	if pid, running, err := Running(e.Path); pid != os.Getpid() || !running || err != nil {
		t.Errorf("a running node: %d, %v, %v", pid, running, err)
	}
	lock.Close()
	if _, running, err := Running(e.Path); running || err != nil {
		t.Errorf("a node that ended: %v, %v", running, err)
	}
	if lock, err = dir.lock(); err != nil {
		t.Errorf("asking keeps the node from starting: %v", err)
	} else {
		lock.Close()
	}
}

func TestListenPorts(t *testing.T) {
	got := listenPorts(append(p2p.ListenAddresses(4001), "/ip4/1.2.3.4/tcp/0", "/dns4/x", "", "/ip4/0.0.0.0/tcp/80/ws"))
	if !slices.Equal(got, []string{"4001", "80"}) {
		t.Errorf("ports %v", got)
	}
}

func TestCountPeers(t *testing.T) {
	got := countPeers([]p2p.Peer{
		{Nickname: "a", Responsive: true, Path: p2p.Relayed},
		{Nickname: "b", Path: p2p.Direct},
		{Nickname: "c", Failure: "no\nroute"},
		{Nickname: "d", Problem: "another grid"},
		{Responsive: true, Path: p2p.Direct},
	})
	if got.Answer != 2 || got.Relayed != 1 || got.Silent != 1 || got.Away != 1 || got.Failure != "c: no route" || !slices.Equal(got.Refused, []string{"d: another grid"}) {
		t.Errorf("%+v", got)
	}
}

// TestDiagnose asks a running node, with a peer, about everything that only it can tell.
func TestDiagnose(t *testing.T) {
	one := openTestGrid(t, 2, 8)[0]
	checks, err := api{one}.Diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := states(checks)
	for name, want := range map[string]doctor.State{"clock": doctor.OK, "peers": doctor.OK, "version": doctor.OK, "listening": doctor.OK, "reachable": doctor.Warn} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q: %+v", name, got[name], want, checks)
		}
	}
	if c := checks[0]; c.Name != "clock" || !strings.Contains(c.Seen, "1 peer") {
		t.Errorf("the peer's clock was not asked for: %+v", c)
	}
}
