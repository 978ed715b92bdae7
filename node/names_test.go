package node_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cairn/node"
	"cairn/node/control"
)

// founded returns the directory of a node that is a grid of its own.
func founded(t *testing.T) *node.Dir {
	t.Helper()
	dir := newDir(t)
	if _, err := dir.Found(node.Founding{Name: "alone", Open: true}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running starts a node and returns a client for it, and what stops it.
func running(t *testing.T, dir *node.Dir) (*control.Client, func()) {
	t.Helper()
	_, stop := start(t, dir)
	client, err := control.Dial(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client, stop
}

func list(t *testing.T, client *control.Client, target string) string {
	t.Helper()
	var names []string
	err := client.List(t.Context(), control.ListRequest{Target: target}, func(e control.Entry) error {
		names = append(names, e.Name)
		return nil
	})
	if err != nil {
		t.Errorf("list %s: %v", target, err)
	}
	return strings.Join(names, " ")
}

// TestHomeAndAliasesSurvive restarts, the loss of the copy of the aliases, and damage to it.
func TestHomeAndAliasesSurvive(t *testing.T) {
	dir := founded(t)
	client, stop := running(t, dir)
	ctx := t.Context()
	if got := list(t, client, "home:"); got != "" {
		t.Errorf("a new root directory has %q", got)
	}
	if _, err := client.Lookup(ctx, control.LookupRequest{Target: "home:x"}); codeOf(err) != control.CodeNotFound {
		t.Errorf("nothing in a new root directory: %v", err)
	}
	if _, err := client.Mkdir(ctx, control.MkdirRequest{Target: "home:docs"}); err != nil {
		t.Fatal(err)
	}
	made, err := client.SetAlias(ctx, control.AliasRequest{Alias: "work"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(ctx, bytes.NewReader([]byte("hello")), control.PutRequest{Size: 5, Target: "work:", Name: "note"}, nil); err != nil {
		t.Fatal(err)
	}
	stop()
	file := filepath.Join(dir.Path(), "aliases")
	sealed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("work")) || bytes.Contains(sealed, []byte(made.Capability)) {
		t.Error("the copy of the aliases can be read")
	}
	for name, change := range map[string]func() error{
		"as it was":             func() error { return nil },
		"without the copy":      func() error { return os.Remove(file) },
		"with a damaged copy":   func() error { return os.WriteFile(file, sealed[:len(sealed)-1], 0o600) },
		"without what it knows": func() error { return os.Remove(filepath.Join(dir.Path(), "state.db")) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		client, stop := running(t, dir)
		if got := list(t, client, "home:"); got != ".cairn docs" {
			t.Errorf("%s: the root directory has %q", name, got)
		}
		if got := list(t, client, "work:"); got != "note" {
			t.Errorf("%s: work: has %q", name, got)
		}
		aliases, err := client.Aliases(ctx)
		if err != nil || len(aliases) != 2 || aliases[1].Capability != made.Capability {
			t.Errorf("%s: the aliases are %+v, %v", name, aliases, err)
		}
		stop()
	}
}

func codeOf(err error) control.Code {
	var e *control.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestMaintain renews each object once, and again when half of the lease is over, as a node does that forgot.
func TestMaintain(t *testing.T) {
	dir := founded(t)
	client, stop := running(t, dir)
	ctx := t.Context()
	if report, err := client.Maintain(ctx, nil); err != nil || report.Objects != 0 {
		t.Errorf("with no root directory: %+v, %v", report, err)
	}
	data := bytes.Repeat([]byte("some contents"), 100)
	for _, target := range []string{"home:a", "home:b"} {
		if _, err := client.Put(ctx, bytes.NewReader(data), control.PutRequest{Size: int64(len(data)), Target: target}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for round, want := range []int{3, 0} {
		report, err := client.Maintain(ctx, nil)
		if err != nil || report.Objects != 3 || report.Renewed != want || report.Missing != 0 || report.Files != 2 {
			t.Errorf("round %d: %+v, %v; want %d renewed", round, report, err, want)
		}
	}
	stop()
	if err := os.Remove(filepath.Join(dir.Path(), "state.db")); err != nil {
		t.Fatal(err)
	}
	client, _ = running(t, dir)
	if report, err := client.Maintain(ctx, nil); err != nil || report.Renewed != 3 {
		t.Errorf("a node that forgot: %+v, %v", report, err)
	}
}
