package node

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"cairn/introducer"
	"cairn/node/config"
	"cairn/share"
)

// TestRemovesWhatWasNamedLater: a node is removed also when the clock of who named it was ahead.
func TestRemovesWhatWasNamedLater(t *testing.T) {
	dir, err := Init(filepath.Join(t.TempDir(), "node"), config.Default())
	if err != nil {
		t.Fatal(err)
	}
	grid, err := dir.Found(Founding{Name: "river friends", Nickname: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	roster, err := dir.roster(grid)
	if err != nil {
		t.Fatal(err)
	}
	account, err := dir.Account()
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(time.Hour)
	if _, err := roster.AddDevice(account, dir.identity, introducer.Device{Name: "desk"}, ahead); err != nil {
		t.Fatal(err)
	}
	n := &Node{dir: dir, roster: roster, config: config.Config{Nickname: "anna"}}
	n.address.Grid = grid
	if err := n.remove(dir.id); err != nil {
		t.Fatal(err)
	}
	if roster.Admit(dir.id) == nil {
		t.Error("the node is still a member's")
	}
	if err := n.remove(dir.id); !errors.Is(err, share.ErrNotFound) {
		t.Errorf("removed again: %v", err)
	}
}
