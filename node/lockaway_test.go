package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cairn/node/account"
	"cairn/node/config"
	"cairn/node/doctor"
)

const (
	firstPass  = "the first passphrase"
	secondPass = "the second passphrase"
)

// cheap keeps tests fast.
var cheap = account.Cost{Time: 1, Memory: 64, Threads: 1}

func saying(passphrase string) Unlock { return func(Sealed) (string, error) { return passphrase, nil } }

// lockable makes a node that founded a grid and returns its directory with all its secrets.
func lockable(t *testing.T) (*Dir, map[string][]byte) {
	t.Helper()
	c := config.Default()
	c.Network.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	dir, err := Init(filepath.Join(t.TempDir(), "node"), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Found(Founding{Name: "g", Nickname: "anna"}); err != nil {
		t.Fatal(err)
	}
	dir.cost = cheap
	return dir, secretsOf(t, dir)
}

func secretsOf(t *testing.T, d *Dir) map[string][]byte {
	t.Helper()
	names, err := d.keep.names()
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{}
	for _, name := range names {
		if secrets[name], err = d.keep.read(name); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

// plainly returns the names of secrets that lie in files of their own.
func plainly(t *testing.T, path string) []string {
	t.Helper()
	names, err := (plain{path, disks{}}).names()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestLockAndUnlock(t *testing.T) {
	dir, secrets := lockable(t)
	if len(secrets) != 8 {
		t.Errorf("secrets: %v", slices.Collect(maps.Keys(secrets)))
	}
	if err := dir.Lock("short", false); !errors.Is(err, account.ErrWeak) {
		t.Errorf("a short passphrase: %v", err)
	}
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	if left := plainly(t, dir.path); len(left) > 0 || !dir.Locked() {
		t.Errorf("still readable: %v", left)
	}
	if got := secretsOf(t, dir); !maps.EqualFunc(got, secrets, bytes.Equal) {
		t.Error("other secrets after locking")
	}
	if _, err := OpenDir(dir.path); !errors.Is(err, ErrLocked) {
		t.Errorf("opened without a passphrase: %v", err)
	}
	if _, err := OpenDirWith(dir.path, saying(secondPass)); !errors.Is(err, account.ErrPassphrase) {
		t.Errorf("opened with another: %v", err)
	}
	look, err := Look(dir.path)
	if err != nil || look.ID() != dir.ID() {
		t.Fatalf("from outside it is %v, %v", look, err)
	}
	if _, err := look.Account(); !errors.Is(err, ErrLocked) {
		t.Errorf("the account from outside: %v", err)
	}
	if grid, err := look.Grid(); err != nil || grid.Grid.Name != "g" {
		t.Errorf("the grid from outside: %v, %v", grid, err)
	}
	again, err := OpenDirWith(dir.path, saying(firstPass))
	if err != nil || again.ID() != dir.ID() || again.secret != dir.secret {
		t.Fatalf("opened: %v", err)
	}
	if err := again.Lock(firstPass, false); !errors.Is(err, ErrLockedAlready) {
		t.Errorf("locked twice: %v", err)
	}
	if err := again.ChangePassphrase(secondPass, true); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirWith(dir.path, saying(firstPass)); !errors.Is(err, account.ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	if again, err = OpenDirWith(dir.path, func(s Sealed) (string, error) {
		if !s.Keyring || s.Node != string(dir.id) || s.Path != dir.path {
			t.Errorf("asked about %+v", s.Header)
		}
		return secondPass, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := again.Unlock(); err != nil {
		t.Fatal(err)
	}
	if again, err = OpenDir(dir.path); err != nil || !maps.EqualFunc(secretsOf(t, again), secrets, bytes.Equal) {
		t.Errorf("other secrets after unlocking, %v", err)
	}
	if err := again.Unlock(); !errors.Is(err, ErrNotLocked) {
		t.Errorf("unlocked twice: %v", err)
	}
}

// TestLockedDirectoryChanges: what a node writes while it is locked is in the vault, and not beside it.
func TestLockedDirectoryChanges(t *testing.T) {
	dir, secrets := lockable(t)
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	if err := dir.ForgetPhrase(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Leave(); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Found(Founding{Name: "h", Open: true}); err != nil {
		t.Fatal(err)
	}
	if left := plainly(t, dir.path); len(left) > 0 {
		t.Errorf("written beside the vault: %v", left)
	}
	again, err := OpenDirWith(dir.path, saying(firstPass))
	if err != nil {
		t.Fatal(err)
	}
	delete(secrets, phraseFile)
	got := secretsOf(t, again)
	if len(got) != len(secrets)+1 {
		t.Errorf("%d secrets, want those of before and a grid key", len(got))
	}
	for name, data := range secrets {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s changed", name)
		}
	}
	if err := dir.writeSecret("record", recordPrefix, make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if err := again.ForgetPhrase(); !errors.Is(err, errMeanwhile) {
		t.Errorf("a change from an old copy: %v", err)
	}
	text := fmt.Sprintf("%v %+v", errMeanwhile, again.Locked())
	if strings.Contains(text, recordPrefix) {
		t.Error("a secret is printed")
	}
}

// TestUnfinishedWritesGo: what a killed process had begun to write does not stay beside the vault.
func TestUnfinishedWritesGo(t *testing.T) {
	dir, secrets := lockable(t)
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	begun := []string{".account-123", ".identity-9", ".grid-0123456789abcdef.key-77", ".phrase-1"}
	for _, name := range append(begun, ".other-1") {
		if err := os.WriteFile(dir.file(name), secrets[accountFile], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dir.tidy(); err != nil {
		t.Fatal(err)
	}
	for _, name := range begun {
		if _, err := os.Lstat(dir.file(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := os.Lstat(dir.file(".other-1")); err != nil {
		t.Errorf("something else was removed: %v", err)
	}
}

// TestExamineLocked: a locked directory is whole as far as that shows without the passphrase.
func TestExamineLocked(t *testing.T) {
	dir, _ := lockable(t)
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Network.Listen, c.Storage.Reserve = []string{"/ip4/127.0.0.1/tcp/0"}, 0
	got := states(Examination{Path: dir.path, Config: c, Used: -1}.Checks(t.Context()))
	if got["keys"] != doctor.OK || got["grid"] != doctor.OK {
		t.Errorf("a locked node: %v", got)
	}
	if err := os.Truncate(dir.file(vaultFile), 20); err != nil {
		t.Fatal(err)
	}
	if got := states(Examination{Path: dir.path, Config: c, Used: -1}.Checks(t.Context())); got["keys"] != doctor.Fail {
		t.Errorf("a damaged vault: %v", got)
	}
}

// TestRestoredBesideTheVault: a file that differs from the vault is neither used nor removed.
func TestRestoredBesideTheVault(t *testing.T) {
	dir, secrets := lockable(t)
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	other := []byte("cairn-account:another\n")
	if err := os.WriteFile(dir.file(accountFile), other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dir.Unlock(); err == nil || !strings.Contains(err.Error(), dir.file(accountFile)) {
		t.Errorf("unlocked over it: %v", err)
	}
	if left, err := os.ReadFile(dir.file(accountFile)); err != nil || !bytes.Equal(left, other) {
		t.Errorf("it was changed: %v", err)
	}
	if got := secretsOf(t, dir); !maps.EqualFunc(got, secrets, bytes.Equal) {
		t.Error("other secrets")
	}
}

// A brittle disk fails at one operation and at all after it, as a process does that dies there: before the operation, or right
// after.
type brittle struct {
	disks
	left  int
	after bool
}

var errPower = errors.New("the power is gone")

func (b *brittle) do(op func() error) error {
	b.left--
	switch {
	case b.left > 0:
		return op()
	case b.left == 0 && b.after:
		return errors.Join(op(), errPower)
	}
	return errPower
}

func (b *brittle) write(path string, data []byte) error {
	return b.do(func() error { return b.disks.write(path, data) })
}

func (b *brittle) remove(path string) error {
	return b.do(func() error { return b.disks.remove(path) })
}

// crashes runs a change of a directory that dies at each of its file operations in turn, and checks after each that all secrets
// are there for who knows the passphrases.
func crashes(t *testing.T, secrets map[string][]byte, make func(t *testing.T, on files) *Dir, change func(*Dir) error, passphrases ...string) {
	t.Helper()
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			disk := &brittle{left: n, after: after}
			dir := make(t, disk)
			err := change(dir)
			survives(t, fmt.Sprintf("operation %d, after it: %t", n, after), dir.path, secrets, passphrases)
			if err == nil {
				if n < 2 {
					t.Error("nothing failed")
				}
				break
			}
			if !errors.Is(err, errPower) {
				t.Fatalf("operation %d: %v", n, err)
			}
		}
	}
}

func survives(t *testing.T, when, path string, secrets map[string][]byte, passphrases []string) {
	t.Helper()
	var opened *Dir
	_, locked, err := Locked(path)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if !locked {
		opened, err = OpenDir(path)
	}
	for _, passphrase := range passphrases {
		if opened == nil {
			opened, err = OpenDirWith(path, saying(passphrase))
		}
	}
	if opened == nil {
		t.Fatalf("%s: no passphrase opens it: %v", when, err)
	}
	if err := opened.tidy(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if got := secretsOf(t, opened); !maps.EqualFunc(got, secrets, bytes.Equal) {
		t.Fatalf("%s: other secrets", when)
	}
	if locked && len(plainly(t, path)) > 0 {
		t.Fatalf("%s: locked, and %v are readable", when, plainly(t, path))
	}
}

// copied copies the files of a directory into a new one.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "node")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(plainly(t, to), vaultFile) {
		if err := os.Chmod(filepath.Join(to, name), 0o600); err != nil && name != vaultFile {
			t.Fatal(err)
		}
	}
	return to
}

func TestLockSurvivesCrashes(t *testing.T) {
	dir, secrets := lockable(t)
	crashes(t, secrets, func(t *testing.T, on files) *Dir {
		path := copied(t, dir.path)
		return &Dir{path: path, keep: plain{path, on}, id: dir.id, cost: cheap}
	}, func(d *Dir) error { return d.Lock(firstPass, false) }, firstPass)
}

func TestUnlockSurvivesCrashes(t *testing.T) {
	dir, secrets := lockable(t)
	if err := dir.Lock(firstPass, false); err != nil {
		t.Fatal(err)
	}
	reopen := func(t *testing.T, on files) *Dir {
		s := dir.keep.(*sealed)
		path := copied(t, dir.path)
		return &Dir{path: path, keep: &sealed{dir: path, files: on, vault: s.vault, secrets: s.secrets, data: s.data}, id: dir.id, cost: cheap}
	}
	crashes(t, secrets, reopen, (*Dir).Unlock, firstPass)
	t.Run("change", func(t *testing.T) {
		crashes(t, secrets, reopen, func(d *Dir) error { return d.ChangePassphrase(secondPass, false) }, secondPass, firstPass)
	})
}
