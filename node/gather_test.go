package node_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"cairn/introducer"
	"cairn/node"
	"cairn/node/control"
	"cairn/share"
)

// TestPutAfterStart: what is stored the moment a node serves goes to all the others, and fails only where they are away.
func TestPutAfterStart(t *testing.T) {
	params := share.Params{Needed: 2, Happy: 3, Total: 3}
	first := newDir(t)
	grid, err := first.Found(node.Founding{Name: "three", Open: true, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	n, stop := start(t, first)
	address, err := introducer.NewAddress(grid, n.Host().Addresses())
	if err != nil {
		t.Fatal(err)
	}
	var stops []func()
	for range 2 {
		dir := newDir(t)
		if err := dir.Join(address); err != nil {
			t.Fatal(err)
		}
		_, end := start(t, dir)
		stops = append(stops, end)
	}
	eventually(t, "all have met", func() bool { return storing(t, client(t, first)) == 2 })
	put := func() error {
		data := make([]byte, 100_000)
		rand.Read(data)
		_, err := client(t, first).Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data))}, nil)
		return err
	}
	for i := range 10 {
		stop()
		_, stop = start(t, first)
		if err := put(); err != nil {
			t.Fatalf("start %d: %v", i+1, err)
		}
	}
	stop()
	for _, end := range stops {
		end()
	}
	start(t, first)
	if err := put(); codeOf(err) != control.CodeNotEnough {
		t.Errorf("alone: %v, want that there are not enough servers", err)
	}
}
