package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/internal/natlab"
	"cairn/internal/waittest"
	"cairn/node/control"
	"cairn/node/doctor"
)

// A labNode is a node on a machine of a small internet.
type labNode struct {
	t       *testing.T
	machine *natlab.Machine
	dir     string
}

// verb runs a verb on the machine and returns what it prints, whatever its status.
func (n labNode) verb(args ...string) string {
	cmd := n.machine.Command("cairn", append([]string{"--dir", n.dir}, args...)...)
	cmd.Env = append(os.Environ(), noExitSleep, "CAIRN_NETWORK_MDNS=false")
	out, _ := cmd.Output() // a doctor's status is part of its answer
	return string(out)
}

// up joins the grid, or founds it where there is no address, and starts the node.
func (n labNode) up(address string) {
	n.t.Helper()
	n.verb("init", "-q", "--nickname", filepath.Base(n.dir))
	if address == "" {
		n.verb("grid", "create", "lab", "--open", "-q")
	} else {
		n.verb("join", address, "-q")
	}
	if n.verb("up", "--detach", "-q") == "" {
		n.t.Fatalf("%s does not start", n.dir)
	}
	n.t.Cleanup(func() { n.verb("stop") })
}

// says waits until the diagnosis has all of these lines: the name, the state and a part of what is seen or of the fix.
func (n labNode) says(want ...[3]string) {
	n.t.Helper()
	var d diagnosis
	missing := ""
	poll := time.NewTicker(2 * time.Second) // peers do not try to connect as often as they are asked
	defer poll.Stop()
	for end := time.Now().Add(waittest.Patience); time.Now().Before(end); <-poll.C {
		if err := json.Unmarshal([]byte(n.verb("doctor", "--json")), &d); err != nil {
			n.t.Fatal(err)
		}
		if missing = d.lacks(want); missing == "" {
			return
		}
	}
	var text strings.Builder
	printDiagnosis(&text, d)
	n.t.Errorf("%s: %s is missing from\n%s", filepath.Base(n.dir), missing, text.String())
}

func (d diagnosis) lacks(want [][3]string) string {
	for _, w := range want {
		found := false
		for _, c := range d.Checks {
			found = found || strings.HasPrefix(c.Name, w[0]) && string(c.State) == w[1] && strings.Contains(c.Seen+" "+c.Fix, w[2])
		}
		if !found {
			return strings.Join(w[:], " ")
		}
	}
	return ""
}

// TestDoctorBehindRouters asks nodes on public machines and behind routers how they are reached.
func TestDoctorBehindRouters(t *testing.T) {
	t.Parallel() // it waits more than it works
	lab := natlab.New(t)
	at := func(name string, m *natlab.Machine) labNode { return labNode{t, m, filepath.Join(t.TempDir(), name)} }
	server, second := at("server", lab.Public()), at("second", lab.Public())
	home, odd := at("home", lab.Behind(natlab.Cone)), at("odd", lab.Behind(natlab.Symmetric))
	server.up("")
	var grid control.Grid
	if err := json.Unmarshal([]byte(server.verb("grid", "show", "--json")), &grid); err != nil {
		t.Fatal(err)
	}
	for _, n := range []labNode{second, home, odd} {
		n.up(grid.Address)
	}
	ok, warn := string(doctor.OK), string(doctor.Warn)
	server.says([3]string{"reachable", ok, "from outside, over tcp ip4"}, [3]string{"port mapping", ok, "none is needed"}, [3]string{"IPv6", ok, "public address"},
		[3]string{"seen by", ok, "it got through to /ip4/" + server.machine.IP4})
	home.says([3]string{"reachable", warn, "no member got through"}, [3]string{"reachable", warn, "in the router, forward port"},
		[3]string{"NAT", ok, "holes can be punched"}, [3]string{"port mapping", warn, "no router answered"},
		[3]string{"relays", ok, "can pass traffic on to this node"}, [3]string{"seen by", warn, "got through to none of /ip4/" + home.machine.Outside})
	odd.says([3]string{"reachable", warn, "no member got through"}, [3]string{"NAT", warn, "symmetric"}, [3]string{"clock", ok, "agrees with"})
	if out := home.verb("peers"); !strings.Contains(out, "direct tcp") {
		t.Errorf("peers:\n%s", out)
	}
}
