package node_test

import (
	"strings"
	"testing"

	"cairn/grid/dir"
	"cairn/grid/tree"
	"cairn/node"
	"cairn/node/control"
	"cairn/share/capability"
	"cairn/share/keys"
)

// TestFormerCopiesAreNotLookedAfter: former copies that are to be ended are told of, and nothing of theirs counts as not healthy, unless somebody
// asks about them.
func TestFormerCopiesAreNotLookedAfter(t *testing.T) {
	d := founded(t)
	n, _ := start(t, d)
	c := client(t, d)
	if err := mkdir(t, c, "home:docs"); err != nil {
		t.Fatal(err)
	}
	aliases, err := c.Aliases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	home, err := capability.Parse(aliases[0].Capability)
	if err != nil {
		t.Fatal(err)
	}
	names := n.Grid().Tree()
	if _, err := names.MkdirAll(t.Context(), home, node.EndingDirectory); err != nil {
		t.Fatal(err)
	}
	lost := dir.Entry{Capability: capability.Directory(keys.NewWriteKey())}
	if _, err := names.Link(t.Context(), home, node.EndingDirectory+"/lost", lost, tree.LinkOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, request := range []control.TreeCheckRequest{{Target: "home:"}, {Target: "home:", Repair: true}, {Target: "home:.cairn"}} {
		r, err := c.CheckTree(t.Context(), request, nil)
		if err != nil || r.Former != 1 || r.Unrecoverable != 0 || len(r.Unhealthy) != 0 {
			t.Errorf("%+v: %+v, %v", request, r, err)
		}
	}
	for _, target := range []string{"home:" + node.EndingDirectory, "home:" + node.EndingDirectory + "/lost"} {
		r, err := c.CheckTree(t.Context(), control.TreeCheckRequest{Target: target}, nil)
		if err != nil || r.Former != 0 || r.Unrecoverable != 1 || len(r.Unhealthy) != 1 || !strings.HasSuffix(r.Unhealthy[0].Path, "/lost") {
			t.Errorf("%s: %+v, %v", target, r, err)
		}
	}
}
