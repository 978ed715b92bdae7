//go:build linux

// Package natlab builds small internets of network namespaces for tests: public machines, and machines behind routers that
// translate addresses, or machines that a long line joins. Programs run inside them as on separate machines.
//
// It needs root, the programs ip and nft, and a kernel with namespaces, veth and nftables; lines need TUN devices. Where one is missing,
// New or Line skips the test and says which. The addresses look public to the programs and exist inside the namespaces only.
package natlab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A NAT is a kind of router.
type NAT string

// The kinds of router. Both let nothing in that was not asked for, and say nothing about what they drop.
const (
	// Cone gives a machine's port the same outside port towards everybody. Most home routers do.
	Cone NAT = "masquerade"
	// Symmetric gives each connection an outside port of its own, chosen at random.
	Symmetric NAT = "masquerade random,fully-random"
)

// namePrefix begins the names of all namespaces; the number of the process follows.
const namePrefix = "cairnlab"

// labs numbers the labs of this process.
var labs atomic.Int64

// A Lab is one internet. Its methods end the test when something fails.
type Lab struct {
	t     testing.TB
	name  string
	core  string // the namespace in the middle, which forwards between the networks
	count int
}

// A Machine is a namespace in which programs run.
type Machine struct {
	lab       *Lab
	namespace string
	// IP4 and IP6 are its own addresses. IP6 is empty behind a router.
	IP4, IP6 string
	// Outside is the IPv4 address at which the internet sees it.
	Outside string
	network int
	router  string // the namespace of the router, empty when there is none
}

// New returns an internet without machines. It is removed when the test ends, with everything that runs in it.
func New(t testing.TB) *Lab {
	t.Helper()
	if what := missing(); what != "" {
		t.Skipf("NO TEST IN NETWORK NAMESPACES WAS RUN: %s", what)
	}
	sweep()
	l := &Lab{t: t, name: fmt.Sprintf("%s-%d-%d", namePrefix, os.Getpid(), labs.Add(1))}
	l.core = l.namespace("core")
	l.in(l.core, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return l
}

// missing says what keeps labs from working here.
var missing = sync.OnceValue(func() string {
	if os.Getuid() != 0 {
		return "it needs root"
	}
	for _, program := range []string{"ip", "nft", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			return "the program " + program + " is not installed (Debian: iproute2, nftables, procps)"
		}
	}
	name := fmt.Sprintf("%s-%d-probe", namePrefix, os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return "namespaces cannot be made: " + string(bytes.TrimSpace(out))
	}
	defer exec.Command("ip", "netns", "del", name).Run()
	probe := exec.Command("ip", "netns", "exec", name, "nft", "add table ip probe; add chain ip probe c { type nat hook postrouting priority 100; }")
	if out, err := probe.CombinedOutput(); err != nil {
		return "the kernel has no nftables: " + string(bytes.TrimSpace(out))
	}
	return ""
})

// sweep removes what killed test processes have left.
func sweep() {
	out, _ := exec.Command("ip", "netns", "list").Output()
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		parts := strings.Split(name, "-")
		if len(parts) < 3 || parts[0] != namePrefix {
			continue
		}
		if pid, err := strconv.Atoi(parts[1]); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			exec.Command("ip", "netns", "del", name).Run()
		}
	}
}

func (l *Lab) run(program string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %q: %v: %s", program, args, err, bytes.TrimSpace(out))
	}
}

func (l *Lab) in(namespace string, args ...string) {
	l.t.Helper()
	l.run("ip", append([]string{"netns", "exec", namespace}, args...)...)
}

func (l *Lab) namespace(what string) string {
	l.t.Helper()
	name := l.name + "-" + what
	l.run("ip", "netns", "add", name)
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	l.run("ip", "-n", name, "link", "set", "lo", "up")
	return name
}

// connect joins two namespaces by a cable whose ends have the given names.
func (l *Lab) connect(a, portA, b, portB string) {
	l.t.Helper()
	l.run("ip", "-n", a, "link", "add", portA, "type", "veth", "peer", "name", portB, "netns", b)
	l.run("ip", "-n", a, "link", "set", portA, "up")
	l.run("ip", "-n", b, "link", "set", portB, "up")
}

// attach gives a namespace a network of its own on the internet, and returns its number.
func (l *Lab) attach(namespace, port string) int {
	l.t.Helper()
	l.count++
	n := l.count
	core := "net" + strconv.Itoa(n)
	l.connect(l.core, core, namespace, port)
	l.run("ip", "-n", l.core, "addr", "add", fmt.Sprintf("20.0.%d.1/24", n), "dev", core)
	l.run("ip", "-n", l.core, "addr", "add", fmt.Sprintf("2a00:%x::1/64", n), "dev", core, "nodad")
	l.run("ip", "-n", namespace, "addr", "add", fmt.Sprintf("20.0.%d.2/24", n), "dev", port)
	l.run("ip", "-n", namespace, "route", "add", "default", "via", fmt.Sprintf("20.0.%d.1", n))
	return n
}

// Public adds a machine with public addresses, IPv4 and IPv6, and nothing in between.
func (l *Lab) Public() *Machine {
	l.t.Helper()
	m := &Machine{lab: l, namespace: l.namespace(fmt.Sprintf("pub%d", l.count+1))}
	m.network = l.attach(m.namespace, "eth0")
	m.IP4, m.IP6 = fmt.Sprintf("20.0.%d.2", m.network), fmt.Sprintf("2a00:%x::2", m.network)
	m.Outside = m.IP4
	l.run("ip", "-n", m.namespace, "addr", "add", m.IP6+"/64", "dev", "eth0", "nodad")
	l.run("ip", "-n", m.namespace, "-6", "route", "add", "default", "via", fmt.Sprintf("2a00:%x::1", m.network))
	return m
}

// Behind adds a router of the kind and a machine behind it, with private IPv4 addresses.
func (l *Lab) Behind(kind NAT) *Machine {
	l.t.Helper()
	router := l.namespace(fmt.Sprintf("nat%d", l.count+1))
	n := l.attach(router, "wan")
	m := &Machine{
		lab: l, namespace: l.namespace(fmt.Sprintf("priv%d", n)), network: n, router: router,
		IP4: fmt.Sprintf("192.168.%d.2", n), Outside: fmt.Sprintf("20.0.%d.2", n),
	}
	l.connect(router, "lan", m.namespace, "eth0")
	l.run("ip", "-n", router, "addr", "add", fmt.Sprintf("192.168.%d.1/24", n), "dev", "lan")
	l.run("ip", "-n", m.namespace, "addr", "add", m.IP4+"/24", "dev", "eth0")
	l.run("ip", "-n", m.namespace, "route", "add", "default", "via", fmt.Sprintf("192.168.%d.1", n))
	l.in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	l.in(router, "nft", fmt.Sprintf(`
		add table ip nat
		add chain ip nat out { type nat hook postrouting priority 100; }
		add rule ip nat out oifname "wan" %s
		add table ip filter
		add chain ip filter input { type filter hook input priority 0; }
		add rule ip filter input iifname "wan" ct state != { established, related } drop
		add chain ip filter forward { type filter hook forward priority 0; }
		add rule ip filter forward iifname "wan" ct state != { established, related } drop`, kind))
	return m
}

// Move gives a machine another public IPv4 address instead of the one it has, as a provider or another network would: to
// its router, where there is one. Every connection through the old address is dead without notice.
func (m *Machine) Move() {
	m.lab.t.Helper()
	l, namespace, port := m.lab, m.namespace, "eth0"
	if m.router != "" {
		namespace, port = m.router, "wan"
	}
	next := fmt.Sprintf("20.0.%d.77", m.network)
	l.run("ip", "-n", namespace, "addr", "add", next+"/24", "dev", port)
	l.run("ip", "-n", namespace, "addr", "del", m.Outside+"/24", "dev", port)
	l.run("ip", "-n", namespace, "addr", "add", next+"/24", "dev", port) // the kernel takes it away with the first of its network
	l.run("ip", "-n", namespace, "route", "replace", "default", "via", fmt.Sprintf("20.0.%d.1", m.network))
	m.Outside = next
	if m.router == "" {
		m.IP4 = next
	}
}

// DropTCP has the internet lose every packet of TCP between the networks of two machines.
func (l *Lab) DropTCP(a, b *Machine) {
	l.t.Helper()
	l.in(l.core, "nft", fmt.Sprintf(`
		add table ip loss
		add chain ip loss forward { type filter hook forward priority 0; }
		add rule ip loss forward iifname "net%[1]d" oifname "net%[2]d" meta l4proto tcp drop
		add rule ip loss forward iifname "net%[2]d" oifname "net%[1]d" meta l4proto tcp drop`, a.network, b.network))
}

// NoIPv4 takes a public machine's IPv4 address away.
func (m *Machine) NoIPv4() {
	m.lab.t.Helper()
	m.lab.run("ip", "-n", m.namespace, "addr", "del", m.IP4+"/24", "dev", "eth0")
	m.IP4, m.Outside = "", ""
}

// Command returns a program that is to run on the machine, in a process group of its own that dies with this process.
func (m *Machine) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", m.namespace, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}
