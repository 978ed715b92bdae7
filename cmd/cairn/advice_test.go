package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	t.Setenv("CAIRN_DIR", "/usual")
	for text, want := range map[string]string{
		`start it with "cairn up"`:                            `start it with "cairn --dir 'my node' up"`,
		`"cairn ls -l x", then "cairn get y"`:                 `"cairn --dir 'my node' ls -l x", then "cairn --dir 'my node' get y"`,
		`see "cairn put --help"`:                              `see "cairn put --help"`,
		`"cairn --dir DIR join INVITATION" with another one`:  `"cairn --dir DIR join INVITATION" with another one`,
		`the file "cairn" is not there, nor is "cairnstones"`: `the file "cairn" is not there, nor is "cairnstones"`,
	} {
		if got := (&app{dir: "my node"}).advice(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if got := (&app{dir: "/usual"}).advice(text); got != text {
			t.Errorf("where no directory was named: %s, want %s", got, text)
		}
	}
}

// elsewhere are the folders and files whose texts are not messages of a command: what is printed on paper, comments in the settings, marks in files.
var elsewhere = []string{
	"node/account/sheet.go", "node/account/sheet_html.go", "node/config/config.go", "node/config/file.go",
	"bench_report.go", "share/disk/disk.go", "share/spill/drain.go",
}

// TestCommandsInMessages reads the sources: whatever advises a command has it in quotes, by which advice finds it, and prints it in a way
// that goes through there.
func TestCommandsInMessages(t *testing.T) {
	var names []string
	for _, verb := range verbs(&app{}) {
		names = append(names, regexp.QuoteMeta(verb.Name()))
	}
	command := regexp.MustCompile(`(^|[^-./\w])cairn (` + strings.Join(names, "|") + `)\b`)
	walk := &messages{t: t, files: token.NewFileSet(), command: command}
	for _, folder := range []string{".", "../../node", "../../grid", "../../introducer", "../../share", "../../p2p"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			slash := filepath.ToSlash(path)
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(slash, "testdata/") ||
				slices.ContainsFunc(elsewhere, func(file string) bool { return strings.HasSuffix(slash, file) }) {
				return err
			}
			return walk.file(path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if walk.seen < 50 {
		t.Errorf("%d texts that name a command were found, which cannot be all", walk.seen)
	}
}

// messages looks for commands in the texts of source files.
type messages struct {
	t       *testing.T
	files   *token.FileSet
	command *regexp.Regexp
	seen    int
}

func (m *messages) file(path string) error {
	file, err := parser.ParseFile(m.files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := called(n)
			if name == "help" || strings.HasSuffix(name, "Var") || strings.HasSuffix(name, "VarP") {
				return false // help is about no node
			}
			if strings.HasPrefix(name, "Fprint") || name == "WriteString" || name == "row" {
				m.printed(n)
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && slices.Contains([]string{"Long", "Short", "Example"}, key.Name) {
				return false
			}
		case *ast.BasicLit:
			m.text(n)
		}
		return true
	})
	return nil
}

func called(n *ast.CallExpr) string {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// text reports a command that advice does not find.
func (m *messages) text(n *ast.BasicLit) {
	text, err := strconv.Unquote(n.Value)
	if err != nil {
		return // a number
	}
	for _, at := range m.command.FindAllStringIndex(text, -1) {
		m.seen++
		start := at[0] + strings.Index(text[at[0]:], "cairn")
		if invited := strings.HasPrefix(text[start:], "cairn join "); !invited && (start == 0 || text[start-1] != '"') {
			m.t.Errorf("%s: the command in %q is not in quotes", m.files.Position(n.Pos()), text)
		}
	}
}

// printed reports a command that is printed without advice.
func (m *messages) printed(call *ast.CallExpr) {
	for _, argument := range call.Args {
		if n, ok := argument.(*ast.BasicLit); ok {
			if text, err := strconv.Unquote(n.Value); err == nil && m.command.MatchString(text) {
				m.t.Errorf("%s: %q is printed as it is: use app.note, app.advice or app.command", m.files.Position(n.Pos()), text)
			}
		}
	}
}
