//go:build linux

package natlab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A Protocol is one by which machines ask their router to forward ports.
type Protocol string

// The protocols.
const (
	UPnP   Protocol = "upnp"
	NATPMP Protocol = "natpmp"
)

// Forwards has the machine's router forward ports to whoever behind it asks by one of the protocols, as miniupnpd does it, which
// many home routers run. It skips the test where that is not installed.
func (m *Machine) Forwards(protocols ...Protocol) {
	m.lab.t.Helper()
	daemon, err := exec.LookPath("miniupnpd")
	if err != nil {
		m.lab.t.Skip("NO TEST OF PORT MAPPING WAS RUN: the program miniupnpd is not installed (Debian: miniupnpd-nftables)")
	}
	m.lab.in(m.router, "nft", `
		add table inet upnp
		add chain inet upnp forward
		add chain inet upnp before { type nat hook prerouting priority -100; }
		add chain inet upnp after { type nat hook postrouting priority 90; }
		add chain inet upnp prerouting
		add chain inet upnp postrouting
		add rule inet upnp before jump prerouting
		add rule inet upnp after jump postrouting
		insert rule ip filter forward iifname "wan" ct status dnat accept`)
	on := map[Protocol]string{UPnP: "no", NATPMP: "no"}
	for _, p := range protocols {
		on[p] = "yes"
	}
	dir := m.lab.t.TempDir()
	path := filepath.Join(dir, "miniupnpd.conf")
	settings := fmt.Sprintf(`ext_ifname=wan
listening_ip=lan
enable_upnp=%s
enable_natpmp=%s
secure_mode=yes
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=forward
upnp_nat_chain=prerouting
upnp_nat_postrouting_chain=postrouting
uuid=00000000-0000-4000-8000-%012d
allow 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`, on[UPnP], on[NATPMP], m.network)
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		m.lab.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", m.router, daemon, "-d", "-f", path, "-P", filepath.Join(dir, "pid"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		m.lab.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.lab.t.Fatal(err)
	}
	m.lab.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if m.lab.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			m.lab.t.Logf("log of the router:\n%s", text[max(0, len(text)-3000):])
		}
	})
}
