package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/node/account"
	"cairn/node/control"
)

// busSettings are those of a bus that starts no services by itself.
const busSettings = `<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>`

// startKeyring starts a session bus and a keyring on it, of which this process and those that it starts know by the environment.
// It skips the test where there are none.
func startKeyring(t *testing.T) {
	t.Helper()
	for _, program := range []string{"dbus-daemon", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("there is no keyring to try: the packages gnome-keyring and dbus-daemon are not installed")
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
	t.Setenv("XDG_RUNTIME_DIR", home)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(home, "bus"))
	run := func(ready func() bool, program string, args ...string) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Stdin = strings.NewReader("the password of the session")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("%s: %s", program, &out)
			}
		})
		until(t, program+" answers", ready)
	}
	settings := filepath.Join(home, "bus.conf")
	if err := os.WriteFile(settings, fmt.Appendf(nil, busSettings, os.Getenv("DBUS_SESSION_BUS_ADDRESS")), 0o600); err != nil {
		t.Fatal(err)
	}
	run(func() bool { _, err := os.Stat(filepath.Join(home, "bus")); return err == nil },
		"dbus-daemon", "--config-file="+settings, "--nofork", "--nopidfile")
	run(func() bool { _, _, err := account.FromKeyring("nobody"); return err == nil },
		"gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets", "--control-directory="+filepath.Join(home, "control"))
}

// whileItHangs puts a bus in the place of the keyring's that takes connections and never answers.
func whileItHangs(t *testing.T, do func()) {
	t.Helper()
	const variable = "DBUS_SESSION_BUS_ADDRESS"
	path := filepath.Join(t.TempDir(), "hangs")
	hangs, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	defer os.Setenv(variable, os.Getenv(variable)) // startKeyring has the test restore what was there before
	os.Setenv(variable, "unix:path="+path)
	do()
}

// said runs the program without a terminal and returns its status and what it printed.
func said(t *testing.T, dir string, args ...string) (status int, text string) {
	t.Helper()
	cmd, _ := command(t, append([]string{"--dir", dir}, args...)...)
	status, stdout, stderr := outcome(t, cmd)
	return status, stdout + stderr
}

func wantSaid(t *testing.T, want int, word, dir string, args ...string) {
	t.Helper()
	if status, text := said(t, dir, args...); status != want || !strings.Contains(text, word) {
		t.Fatalf("%q ended with status %d, want %d and %q:\n%s", args, status, want, word, text)
	}
}

// TestKeysInAKeyring locks the keys of a node with a passphrase that a real keyring keeps.
func TestKeysInAKeyring(t *testing.T) {
	startKeyring(t)
	dir, passphrases := filepath.Join(t.TempDir(), "node"), t.TempDir()
	pass := func(name string) string { return filepath.Join(passphrases, name) }
	for _, name := range []string{"first", "second"} {
		if err := os.WriteFile(pass(name), []byte("the "+name+" passphrase\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CAIRN_NETWORK_MDNS", "false")
	wantSaid(t, 0, "", dir, "init", "-q", "--listen", "/ip4/127.0.0.1/tcp/0")
	wantSaid(t, 0, "", dir, "grid", "create", "locked")
	secrets := secretTexts(t, dir)
	wantSaid(t, 0, "locked", dir, "account", "lock", "--keyring", "--new-passphrase-file", pass("first"))
	wantSaid(t, 0, "which the system's keyring keeps", dir, "account", "show")

	// The node starts without a terminal, and what it writes is not in clear.
	wantSaid(t, 0, "", dir, "up", "--detach")
	t.Cleanup(func() { _ = exec.Command("cairn", "--dir", dir, "stop").Run() }) // where the test fails before it is stopped
	wantSaid(t, 0, "", dir, "mkdir", "home:docs")
	wantSaid(t, 0, "", dir, "alias", "add", "docs", "home:docs")
	searchSecrets(t, dir, secrets)
	client, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	status, err := client.Status(t.Context())
	client.Close()
	if err != nil {
		t.Fatal(err)
	}
	wantSaid(t, 0, "", dir, "stop")
	whileItHangs(t, func() {
		wantSaid(t, statusRefused, "it has not answered within 10s", dir, "up", "--detach")
		wantSaid(t, 0, "", dir, "up", "--detach", "--passphrase-file", pass("first"))
		wantSaid(t, 0, "", dir, "stop")
	})

	wantSaid(t, 0, "changed", dir, "account", "change-passphrase", "--keyring", "--new-passphrase-file", pass("second"))
	kept, found, err := account.FromKeyring(status.Node)
	if err != nil || !found || kept != "the second passphrase" {
		t.Fatalf("the keyring has %q, %v, %v", kept, found, err)
	}
	searchSecrets(t, dir, append(secrets, "the first passphrase", "the second passphrase"))

	// What a change leaves that died before it told the keyring.
	if err := account.ToKeyring(status.Node, "the first passphrase"); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, statusRefused, "is not the one of these keys", dir, "up", "--detach")
	wantSaid(t, 0, "", dir, "up", "--detach", "--passphrase-file", pass("second"))
	wantSaid(t, 0, "", dir, "stop")
	wantSaid(t, 0, "changed", dir, "account", "change-passphrase", "--passphrase-file", pass("second"), "--new-passphrase-file", pass("first"))
	if _, found, err := account.FromKeyring(status.Node); err != nil || found {
		t.Errorf("without --keyring it still has a passphrase: %v, %v", found, err)
	}
	wantSaid(t, statusRefused, "next: run it on a terminal, or name a file", dir, "up", "--detach")
	wantSaid(t, 0, "unlocked", dir, "account", "unlock", "--passphrase-file", pass("first"))
}

// secretTexts returns what must not be on the disk of a node whose keys are locked: the contents of its files of keys, without what
// says what they are.
func secretTexts(t *testing.T, dir string) (texts []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "grid-*.key"))
	if err != nil || len(names) != 1 {
		t.Fatalf("grid keys: %q, %v", names, err)
	}
	for _, name := range []string{"identity", "account", "home", "convergence", "record", "founder", "phrase"} {
		names = append(names, filepath.Join(dir, name))
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, secretsIn(t, filepath.Base(name), data)...)
	}
	return texts
}

// secretsIn returns what must not be found of one file of keys, in all of its forms.
func secretsIn(t *testing.T, name string, data []byte) []string {
	t.Helper()
	switch name {
	case "identity": // the second half of the key is the public one, which others are told
		key, err := crypto.UnmarshalPrivateKey(data)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := key.Raw()
		if err != nil || len(raw) != ed25519.PrivateKeySize {
			t.Fatalf("%s: %d bytes, %v", name, len(raw), err)
		}
		return []string{string(raw[:ed25519.SeedSize])}
	case "phrase":
		return []string{string(bytes.TrimSpace(data))}
	}
	text := string(bytes.TrimSpace(data))
	body := text[strings.LastIndexByte(text, ':')+1:]
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(body))
	if err != nil || len(raw) < 16 {
		t.Fatalf("%s: %d bytes, %v", name, len(raw), err)
	}
	return []string{text, body, string(raw)}
}

// TestSecretsInIdentity: a public key may have any bytes, also those that separate the parts of a text.
func TestSecretsInIdentity(t *testing.T) {
	for {
		key, public, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		open, err := public.Raw()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(open, []byte(":")) {
			continue
		}
		data, err := crypto.MarshalPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secretsIn(t, "identity", data) {
			if len(secret) < ed25519.SeedSize || strings.Contains(secret, string(open)) || strings.HasSuffix(string(open), secret) {
				t.Errorf("%x is taken for a secret of the public key %x", secret, open)
			}
		}
		return
	}
}

// searchSecrets looks for secrets in every file of a folder.
func searchSecrets(t *testing.T, dir string, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return ignoreMissing(err)
		}
		data, err := os.ReadFile(name)
		files++
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s has a secret", name)
			}
			if encoded, _ := json.Marshal(secret); bytes.Contains(data, encoded) {
				t.Errorf("%s has a secret as JSON", name)
			}
		}
		return ignoreMissing(err)
	})
	if err != nil || files < 5 {
		t.Fatalf("%d files searched, %v", files, err)
	}
}

// ignoreMissing lets files go while they are looked at.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
