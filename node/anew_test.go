package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cairn/node"
	"cairn/node/control"
	"cairn/share"
)

// namesIn lists a directory.
func namesIn(t *testing.T, c *control.Client, target string) ([]string, error) {
	t.Helper()
	var names []string
	err := c.List(t.Context(), control.ListRequest{Target: target}, func(e control.Entry) error {
		names = append(names, e.Name)
		return nil
	})
	slices.Sort(names)
	return names, err
}

func mkdir(t *testing.T, c *control.Client, target string) error {
	t.Helper()
	_, err := c.Mkdir(t.Context(), control.MkdirRequest{Target: target})
	return err
}

// TestLostRoot: a root directory of which no server has anything any more is begun anew when the person says so, and not before; and what servers
// have of it that come back is in it again.
func TestLostRoot(t *testing.T) {
	anna := newDir(t)
	if _, err := anna.Found(node.Founding{Name: "river friends", Nickname: "anna", Params: share.Params{Needed: 1, Happy: 2, Total: 3}}); err != nil {
		t.Fatal(err)
	}
	settings := testConfig()
	settings.Network.Listen = []string{fixedPort(t)}
	far, atAnna := open(t, anna, settings)
	bert := invited(t, atAnna, control.InviteRequest{}, "bert")
	carla := invited(t, atAnna, control.InviteRequest{}, "carla")
	settled := testConfig() // where carla's node is found again
	settled.Network.Listen = []string{fixedPort(t)}
	near, atBert := open(t, bert, testConfig())
	third, atCarla := open(t, carla, settled)
	met := func() bool { return storing(t, atBert) == 2 && storing(t, atAnna) == 2 && storing(t, atCarla) == 2 }
	comesTrue(t, "they have met", met)
	if err := mkdir(t, atBert, "home:before"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node.Node{near, far, third} {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []*node.Dir{bert, carla} {
		if err := os.RemoveAll(filepath.Join(dir.Path(), "storage")); err != nil {
			t.Fatal(err)
		}
	}
	_, atCarla = open(t, carla, settled)
	_, atBert = open(t, bert, testConfig())
	comesTrue(t, "two have met", func() bool { return storing(t, atBert) == 1 && storing(t, atCarla) == 1 })

	_, err := namesIn(t, atBert, "home:")
	e, _ := errors.AsType[*control.Error](err)
	if e == nil || !strings.Contains(e.Hint, `"cairn restore --empty home:"`) {
		t.Fatalf("a root that is lost: %+v", e)
	}
	_, err = atBert.Restore(t.Context(), control.RestoreRequest{Target: "home:", Empty: true})
	if e, _ = errors.AsType[*control.Error](err); e == nil || e.Code != control.CodeRefused || !strings.Contains(e.Hint, "--force") {
		t.Errorf("begun anew while a server is away: %+v", e)
	}
	v, err := atBert.Restore(t.Context(), control.RestoreRequest{Target: "home:", Empty: true, Force: true})
	if err != nil || v.Version < 2 {
		t.Fatalf("begin anew: %+v, %v", v, err)
	}
	if err := mkdir(t, atBert, "home:after"); err != nil {
		t.Fatal(err)
	}
	if names, err := namesIn(t, atBert, "home:"); err != nil || !slices.Equal(names, []string{"after"}) {
		t.Errorf("begun anew it has %q, %v", names, err)
	}
	_, err = atBert.Restore(t.Context(), control.RestoreRequest{Target: "home:", Empty: true, Force: true})
	if e, _ = errors.AsType[*control.Error](err); e == nil || e.Code != control.CodeRefused {
		t.Errorf("begun anew although it is there: %+v", e)
	}
	_, atAnna = open(t, anna, settings)
	comesTrue(t, "they have met again", met)
	comesTrue(t, "what came back is in it again", func() bool {
		names, err := namesIn(t, atBert, "home:")
		return err == nil && slices.Equal(names, []string{"after", "before"})
	})
}
