package main

import (
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
