package p2p_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cairn/p2p"
	"cairn/share"
)

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node", "identity.key")
	key, err := p2p.LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v (%v), want 0600", info.Mode(), err)
	}
	again, err := p2p.LoadOrCreateKey(path)
	if err != nil || !key.Equals(again) {
		t.Errorf("the key changed: %v", err)
	}
	id, err := p2p.IDOf(key)
	if err != nil || len(id) < 40 {
		t.Errorf("id %q, %v", id, err)
	}
	if err := os.WriteFile(path, []byte("spoiled"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p2p.LoadOrCreateKey(path); !errors.Is(err, share.ErrCorrupt) {
		t.Errorf("a spoiled key: %v, want ErrCorrupt", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "spoiled" {
		t.Error("a spoiled key file was touched")
	}
}
