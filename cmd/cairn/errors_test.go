package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cairn/node/control"
)

// TestHappyIsAdvisedWhereItIsAFlag: a verb without the flag does not advise it.
func TestHappyIsAdvisedWhereItIsAFlag(t *testing.T) {
	err := &control.Error{Code: control.CodeNotEnough, Message: "few", Hint: "start more", Content: 2}
	for _, flag := range []bool{false, true} {
		a := &app{verb: &cobra.Command{}}
		if flag {
			a.verb.Flags().Int("happy", 0, "")
		}
		if hint := a.hintOf(err); strings.Contains(hint, "--happy 2") != flag || !strings.HasPrefix(hint, "start more") {
			t.Errorf("flag %v: %s", flag, hint)
		}
	}
}

// TestErrorsHaveOneLine: what a person typed in several lines is told in one.
func TestErrorsHaveOneLine(t *testing.T) {
	var out strings.Builder
	a := &app{streams: streams{err: &out}, args: []string{"a\nb", "c"}}
	a.report(usagef("put: stat a\nb: no such file\nand c"))
	if got := out.String(); got != "cairn: put: stat a\\nb: no such file\nand c\n" {
		t.Errorf("%q", got)
	}
}

// TestRecursionIsAdvisedWhereItIsAFlag: cat has no -r.
func TestRecursionIsAdvisedWhereItIsAFlag(t *testing.T) {
	err := &control.Error{Code: control.CodeFailed, Message: "home:docs: it is a directory", Hint: control.HintDirectory}
	rm, cat := &app{dir: defaultDir(), verb: newRmCommand(&app{})}, &app{dir: defaultDir(), verb: newCatCommand(&app{})}
	if hint := rm.hintOf(err); hint != control.HintDirectory {
		t.Errorf("rm: %s", hint)
	}
	if hint := cat.hintOf(err); hint != `name a file in it; "cairn cp -r" copies a whole directory` {
		t.Errorf("cat: %s", hint)
	}
}

// TestNodeOfAnEarlierVersion: a node that does not know a call is to be restarted, and both versions are named.
func TestNodeOfAnEarlierVersion(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(control.Status{Version: "0.0.9"})
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var out strings.Builder
	a := &app{streams: streams{err: &out}, dir: t.TempDir()}
	if err := (control.Endpoint{Address: server.Listener.Addr().String(), Token: "t"}).Write(a.dir); err != nil {
		t.Fatal(err)
	}
	err := a.running("ls", func(client *control.Client) error {
		return a.ls(t.Context(), client, &lsOptions{}, []string{homeTarget})
	})
	if statusOf(err) != statusFailed {
		t.Errorf("exit status %d", statusOf(err))
	}
	a.report(err)
	want := "cairn: ls: the running node is version 0.0.9, which does not know what is asked of it\n" +
		"next: this program is version " + version() + ": restart the node with it (\"" + a.command("stop") + "\"; \"" + a.command("up -d") + "\")\n"
	if out.String() != want {
		t.Errorf("it says\n%s, want\n%s", out.String(), want)
	}
}
