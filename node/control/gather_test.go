package control_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"cairn/node/control"
	"cairn/share"
)

// gathering is a fake that has peers to wait for.
type gathering struct {
	*fake
	wanted []int // for each time that it was asked to wait, how many servers the request wants
}

func (g *gathering) Gather(_ context.Context, happy int, waiting func(control.Waiting)) {
	g.wanted = append(g.wanted, happy)
	waiting(control.Waiting{Answer: 1, Known: 4})
}

func TestWaitingIsTold(t *testing.T) {
	node := &gathering{fake: newFake()}
	_, client := serve(t, node)
	var told []control.Waiting
	client.OnWaiting(func(w control.Waiting) { told = append(told, w) })
	if _, err := client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Peers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(node.wanted) > 0 {
		t.Error("questions that need no peer wait for them")
	}
	data := content(300_000)
	for _, params := range []share.Params{{}, {Needed: 2, Happy: 3, Total: 4}} {
		if _, err := client.Put(t.Context(), bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Params: params}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(node.wanted, []int{0, 3}) {
		t.Errorf("two uploads want %v servers, want 0 (as the grid says) and 3", node.wanted)
	}
	if want := (control.Waiting{Answer: 1, Known: 4}); !slices.Equal(told, []control.Waiting{want, want}) {
		t.Errorf("the client is told %v, want twice %v", told, want)
	}
}
