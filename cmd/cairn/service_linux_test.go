package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemctl stands for systemd: it notes what it is asked and keeps the state in a file.
const systemctl = `#!/bin/sh
echo "$*" >> /run/calls
case "$1" in
--version) echo "systemd 255" ;;
is-active) cat /run/state 2>/dev/null || { echo inactive; exit 3; } ;;
list-unit-files) ls "$HOME/.config/systemd/user" ;;
start) echo active > /run/state ;;
stop) echo inactive > /run/state ;;
enable) test ! -e /run/fail ;;
esac
`

// serviceStory is told in a mount name space of its own, where /run says that systemd runs.
const serviceStory = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/bin "$HOME"
cp "$WORK/systemctl" /run/bin/systemctl
chmod 755 /run/bin/systemctl
export PATH=/run/bin:$PATH
refused() { if "$@"; then echo "accepted: $*"; exit 1; fi; }

touch /run/fail
refused cairn service install --user
rm /run/fail
test -z "$(find "$HOME" -type f)"
refused cairn service start --user
cairn service status --user
cairn service install --user --start
refused cairn service install --user
cairn service install --print --user | cmp - "$HOME"/.config/systemd/user/*.service
cairn service status --user
cairn service stop --user
cairn service uninstall --user
refused cairn service uninstall --user
test -z "$(find "$HOME" -type f)"
cat /run/calls
`

// TestServiceUnderSystemd installs, starts, stops and removes a service through the library that speaks to systemd.
func TestServiceUnderSystemd(t *testing.T) {
	if err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run").Run(); err != nil {
		t.Skipf("no mount name spaces here: %v", err)
	}
	work := t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "systemctl"), []byte(systemctl), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), noExitSleep, "WORK="+work, "HOME="+filepath.Join(work, "home"), "CAIRN_DIR="+filepath.Join(work, "node"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	run("cairn", "init", "-q", "--listen", "/ip4/127.0.0.1/tcp/0")
	run("cairn", "grid", "create", "g", "--open", "-q")
	out := run("unshare", "-m", "sh", "-c", serviceStory)
	for _, want := range []string{
		"install service cairn-node-", "next: \"systemctl --user status\" tells more", "the service is not installed\nnext: ",
		": not installed\n", "installed service cairn-node-", "(user, linux-systemd)", "is installed already: ", ": running\n", ": stopped\n",
		"\nenable --user cairn-node-", "\nstart --user cairn-node-", "\nstop --user cairn-node-", "\ndisable --user cairn-node-", "daemon-reload --user",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
