package service

import (
	"fmt"
	"path/filepath"
	"strings"
)

// common are the lines of every unit. The node tells systemd itself when it serves, which after a crash of a machine with
// many shares may take a while.
const common = `Type=notify
NotifyAccess=main
ExecStart=%s
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
TimeoutStartSec=infinity
TimeoutStopSec=90
LimitNOFILE=65536
UMask=0077
`

// hardenedUser are the limits that a user's own manager can set: those that need no name space of its own, which many
// systems refuse to users.
const hardenedUser = `NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
`

// hardenedSystem are the limits that only the manager of the machine can set. Below ReadWritePaths the node can write,
// everywhere else it can at most read.
const hardenedSystem = `CapabilityBoundingSet=
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictNamespaces=yes
SystemCallFilter=@system-service
`

// unit returns the systemd unit of the node.
func (n Node) unit() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=%s\n", strings.ReplaceAll(n.description(), "%", "%%"))
	if n.Scope == System {
		b.WriteString("Wants=network-online.target\nAfter=network-online.target\n")
	}
	b.WriteString("StartLimitIntervalSec=300\nStartLimitBurst=10\n\n[Service]\n")
	command := []string{execWord(n.Program)}
	for _, a := range n.Arguments {
		command = append(command, execWord(a))
	}
	fmt.Fprintf(&b, common, strings.Join(command, " "))
	if n.Scope == System && n.RunAs != "" {
		fmt.Fprintf(&b, "User=%s\n", n.RunAs)
	}
	b.WriteString(hardenedUser)
	if n.Scope == System {
		b.WriteString(hardenedSystem)
		if !n.inTemporary() {
			b.WriteString("PrivateTmp=yes\n")
		}
		for _, path := range append([]string{n.Dir}, n.Writable...) {
			fmt.Fprintf(&b, "ReadWritePaths=%s\n", word(path))
		}
	}
	b.WriteString("\n[Install]\nWantedBy=" + map[Scope]string{User: "default.target", System: "multi-user.target"}[n.Scope] + "\n")
	return b.String()
}

// inTemporary reports whether the node writes to a folder that a private one would hide.
func (n Node) inTemporary() bool {
	for _, path := range append([]string{n.Program, n.Dir}, n.Writable...) {
		for _, top := range []string{"/tmp", "/var/tmp"} {
			if within, err := filepath.Rel(top, path); err == nil && within != ".." && !strings.HasPrefix(within, "../") {
				return true
			}
		}
	}
	return false
}

// word quotes a word of a unit.
func word(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(text) + `"`
}

// execWord quotes a word of a command line in a unit, where variables are replaced as well.
func execWord(text string) string { return strings.ReplaceAll(word(text), "$", "$$") }

// windows returns what the Windows service manager is told, for people.
func (n Node) windows() string {
	var quoted []string
	for _, a := range append([]string{n.Program}, n.Arguments...) {
		quoted = append(quoted, `"`+a+`"`)
	}
	account := n.RunAs
	if account == "" {
		account = "LocalSystem"
	}
	return fmt.Sprintf("Name:     %s\r\nDisplay:  %s\r\nCommand:  %s\r\nStart:    automatic, delayed\r\nFailure:  restart after 5s\r\nAccount:  %s\r\n",
		n.Name, n.description(), strings.Join(quoted, " "), account)
}
