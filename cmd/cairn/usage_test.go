package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestUsageLinesSayWhatIsTaken compares what each command's usage line says with what the command takes.
func TestUsageLinesSayWhatIsTaken(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Args != nil && cmd.HasParent() && cmd.Parent().Name() != "completion" {
			for n := range 6 {
				args := strings.Fields(strings.Repeat("x ", n))
				said, fits := checkCount(cmd, args), cmd.Args(cmd, args)
				if (said == nil) != (fits == nil) {
					t.Errorf("%s with %d names: %v, but the usage line says %v", cmd.CommandPath(), n, fits, said)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{}))
}

// TestHelpFitsOnAScreen: no help of a command is longer than a tall window.
func TestHelpFitsOnAScreen(t *testing.T) {
	const lines = 54
	for _, cmd := range newRoot(&app{}).Commands() {
		var shown, said bytes.Buffer
		if status := execute(t.Context(), []string{"help", cmd.Name()}, streams{in: os.Stdin, out: &shown, err: &said}); status != statusDone {
			t.Errorf("help %s: status %d: %s", cmd.Name(), status, said.String())
		}
		if n := strings.Count(shown.String(), "\n"); n > lines {
			t.Errorf("the help of %s has %d lines, at most %d are wanted", cmd.Name(), n, lines)
		}
	}
}

// TestMisunderstood reads what is said about command lines that are wrong.
func TestMisunderstood(t *testing.T) {
	for _, try := range []struct{ args, want, next string }{
		{"cp", "cp: SOURCE and TARGET are missing", `write it as cairn cp SOURCE... TARGET; "cairn cp --help" explains it`},
		{"cp a", "cp: TARGET is missing", ""},
		{"restore home:", "restore: VERSION or FOLDER is missing", ""},
		{"get a b", `get: "b" is too much`, `write it as cairn get CAPABILITY|PATH [-o FILE]; "cairn get --help" explains it`},
		{"get a cairn:dir:k51", "get: a text with keys is too much", ""},
		{"status x", `status: it takes no names, and here is "x"`, ""},
		{"grid sow", `grid: there is no command "sow"; there is "cairn grid show"`, `see "cairn grid --help"`},
		{"gird", `there is no command "gird"; there is "cairn grid"`, `see "cairn --help"`},
		{"--dir x lss -l home:", `there is no command "lss"; there is "cairn ls"`, ""},
		{"frobnicate", `there is no command "frobnicate"`, ""},
		{"ls -lZ", "ls: there is no flag -Z", `see "cairn ls --help"`},
		{"find home: -foo", `find: there is no test "-foo"`, `see "cairn find --help"`},
		{"ln -s home:a home:b", "ln: there is no flag -s: a name on the grid leads to the thing itself, wherever that is moved", ""},
		{"ls --color=auto", "ls: there is no flag --color: names are never told apart by their colour; -F puts a slash behind directories", ""},
		{"ls -foo home:", "ls: there is no flag -f (in -foo)", ""},
		{"find home: -name", "find: -name: its value is missing", ""},
		{"ls --recursiv", "ls: there is no flag --recursiv; there is --recursive", ""},
		{"--nosuch", "there is no flag --nosuch", ""},
		{"cp ---x a b", `cp: "---x" is no flag`, ""},
		{"cp --repeats x a b", `cp: --repeats "x": want a whole number`, ""},
		{"tree -L 99999999999999999999", `tree: --level "99999999999999999999": the number is too large`, ""},
		{"du -d", "du: --max-depth: N is missing", ""},
		{"ls --json=x", `ls: --json "x": it takes no value`, ""},
		{"bench --idle x", `bench: --idle "x": want a duration such as 1m30s`, ""},
		{"get home:x --range 1-2 --offset 1", "get: --offset and --range exclude each other", `see "cairn get --help"`},
	} {
		var said bytes.Buffer
		status := execute(t.Context(), strings.Fields(try.args), streams{in: os.Stdin, out: &said, err: &said})
		lines := strings.Split(said.String(), "\n")
		if status != statusUsage || len(lines) != 3 || lines[0] != "cairn: "+try.want || try.next != "" && lines[1] != "next: "+try.next {
			t.Errorf("cairn %s: status %d and\n%s", try.args, status, said.String())
		}
	}
}

// TestAbsentFlags: what is said to be absent is, and the document tells of it.
func TestAbsentFlags(t *testing.T) {
	document, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for which := range absent {
		verb, flag, _ := strings.Cut(which, " ")
		cmd, _, err := newRoot(&app{}).Find([]string{verb})
		if err != nil {
			t.Errorf("%s: %v", which, err)
			continue
		}
		name := strings.TrimLeft(flag, "-")
		if len(name) == 1 && cmd.Flags().ShorthandLookup(name) != nil || len(name) > 1 && cmd.Flags().Lookup(name) != nil {
			t.Errorf("%s is there", which)
		}
		if !strings.Contains(string(document), "| `"+which+"` |") {
			t.Errorf("docs/cli.md does not tell of %s", which)
		}
	}
}
