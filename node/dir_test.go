package node_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/config"
	"cairn/share"
)

func testConfig() config.Config {
	c := config.Default()
	c.Nickname = "laptop"
	c.Storage.Reserve = 0
	c.Network.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	c.Network.MDNS = false
	return c
}

func newDir(t *testing.T) *node.Dir {
	t.Helper()
	dir, err := node.Init(filepath.Join(t.TempDir(), "node"), testConfig())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInitOnce(t *testing.T) {
	dir := newDir(t)
	again, err := node.OpenDir(dir.Path())
	if err != nil || again.ID() != dir.ID() {
		t.Errorf("opened again the node is %s, %v; want %s", again.ID(), err, dir.ID())
	}
	before, err := os.ReadFile(filepath.Join(dir.Path(), "convergence"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Init(dir.Path(), testConfig()); !errors.Is(err, node.ErrNodeExists) {
		t.Errorf("a second init gives %v, want ErrNodeExists", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir.Path(), "convergence")); !bytes.Equal(before, after) {
		t.Error("a second init changed the convergence secret")
	}
	if _, err := node.OpenDir(t.TempDir()); !errors.Is(err, node.ErrNoNode) {
		t.Errorf("an empty directory gives %v, want ErrNoNode", err)
	}
}

func TestInterruptedInitIsMadeAnew(t *testing.T) {
	dir := newDir(t)
	if err := os.Remove(filepath.Join(dir.Path(), "identity")); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Init(dir.Path(), testConfig()); err != nil {
		t.Errorf("a directory without an identity: %v", err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(dir.Path(), "grid-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d grid keys, %v", len(keys), err)
	}
	for _, path := range []string{filepath.Join(dir.Path(), "identity"), filepath.Join(dir.Path(), "convergence"), keys[0]} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600", path, info.Mode(), err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := node.OpenDir(dir.Path()); !errors.Is(err, node.ErrExposed) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s readable by others: %v, want ErrExposed", path, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedSecretsAreLeftAlone(t *testing.T) {
	for _, name := range []string{"identity", "convergence"} {
		dir := newDir(t)
		path := filepath.Join(dir.Path(), name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{nil, good[:len(good)/2], []byte("nonsense\n"), bytes.Repeat(good, 200)} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := node.OpenDir(dir.Path()); err == nil {
				t.Errorf("%s of %d bytes is accepted", name, len(bad))
			} else if len(good) > 20 && strings.Contains(err.Error(), string(good[20:])) {
				t.Errorf("%s: the error shows the secret: %v", name, err)
			}
			if left, _ := os.ReadFile(path); !bytes.Equal(left, bad) {
				t.Errorf("%s was replaced", name)
			}
		}
	}
}

func TestMembership(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Grid(); !errors.Is(err, node.ErrNoGrid) {
		t.Errorf("a new node: %v, want ErrNoGrid", err)
	}
	params := share.Params{Needed: 2, Happy: 3, Total: 4}
	founded, err := dir.Found(node.Founding{Name: "river friends", Params: params, Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Found(node.Founding{Name: "another", Params: params, Open: true}); !errors.Is(err, node.ErrHasGrid) {
		t.Errorf("founding twice: %v, want ErrHasGrid", err)
	}
	shown, err := dir.Describe(testConfig())
	if err != nil || shown.Name != "river friends" || shown.ID != founded.ID() || shown.Params != params || shown.BySize {
		t.Errorf("described as %+v, %v", shown, err)
	}
	other, _, err := introducer.Found("other", share.Params{}, true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.NewAddress(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Join(address); !errors.Is(err, node.ErrHasGrid) {
		t.Errorf("joining another grid: %v, want ErrHasGrid", err)
	}
	if left, err := dir.Leave(); err != nil || left.ID() != founded.ID() {
		t.Errorf("left %v, %v", left, err)
	}
	for range 2 { // the second time it is the same grid
		if err := dir.Join(address); err != nil {
			t.Errorf("joining: %v", err)
		}
	}
	if shown, err := dir.Describe(testConfig()); err != nil || shown.Name != "other" || !shown.BySize {
		t.Errorf("described as %+v, %v", shown, err)
	}
}

func TestDescribedAddressLeadsHere(t *testing.T) {
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "g", Open: true}); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Network.Listen = []string{"/ip4/0.0.0.0/tcp/4999", "/ip4/0.0.0.0/udp/4999/quic-v1", "/ip4/127.0.0.1/tcp/0"}
	shown, err := dir.Describe(c)
	if err != nil {
		t.Fatal(err)
	}
	address, err := introducer.ParseAddress(shown.Address)
	if err != nil {
		t.Fatal(err)
	}
	want := "/ip4/127.0.0.1/tcp/4999/p2p/" + string(dir.ID())
	found := false
	for _, b := range address.Bootstrap {
		found = found || b == want
		if strings.Contains(b, "/tcp/0/") || strings.Contains(b, "0.0.0.0") {
			t.Errorf("the address names %s, where nobody can be reached", b)
		}
	}
	if !found {
		t.Errorf("the address does not name %s: %v", want, address.Bootstrap)
	}
}
