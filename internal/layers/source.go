package layers

import (
	"bytes"
	"fmt"
	"go/ast"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// CheckSize returns every file and function that is too long to be read at once.
func CheckSize(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Lines > MaxFileLines {
			out = append(out, Finding{f.Path, 0, fmt.Sprintf("has %d lines, more than %d: one type with its methods per file", f.Lines, MaxFileLines)})
		}
		if f.Test {
			continue
		}
		for _, decl := range f.Syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := f.Fset.Position(fn.Pos()).Line, f.Fset.Position(fn.End()).Line
			if lines := to - from + 1; lines > MaxFunctionLines {
				out = append(out, Finding{f.Path, from, fmt.Sprintf("%s has %d lines, more than %d: a function fits a screen", fn.Name.Name, lines, MaxFunctionLines)})
			}
		}
	}
	return sorted(out)
}

// unfinished are the words that mark work left undone.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// CheckUnfinished returns every mark of work left undone.
func CheckUnfinished(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		for i, line := range bytes.Split(f.Source, []byte("\n")) {
			if word := unfinished.Find(line); word != nil {
				out = append(out, Finding{f.Path, i + 1, fmt.Sprintf("says %s: finish it or write an issue", word)})
			}
		}
	}
	return sorted(out)
}

// CheckDocs returns every package that has not exactly one doc comment of the usual form.
func CheckDocs(files []*File) []Finding {
	docs, names := map[string][]string{}, map[string]string{}
	for _, f := range files {
		name := f.Syntax.Name.Name
		if f.Test && (strings.HasSuffix(name, "_test") || f.Syntax.Doc == nil) {
			continue
		}
		dir := f.Dir()
		names[dir] = name
		if f.Syntax.Doc != nil {
			docs[dir] = append(docs[dir], f.Syntax.Doc.Text())
		}
	}
	var out []Finding
	for dir, name := range names {
		want := "Package " + name + " "
		switch {
		case len(docs[dir]) != 1:
			out = append(out, Finding{dir, 0, fmt.Sprintf("has %d package comments, want one", len(docs[dir]))})
		case !strings.HasPrefix(docs[dir][0], want):
			out = append(out, Finding{dir, 0, fmt.Sprintf("its package comment does not start with %q", want)})
		}
	}
	return sorted(out)
}

// globalLoggers are the functions of log/slog that write to the process-wide logger.
var globalLoggers = []string{
	"Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "Default", "SetDefault",
	"DebugContext", "InfoContext", "WarnContext", "ErrorContext",
}

// CheckLoggers returns every use of the process-wide logger: loggers are passed in.
func CheckLoggers(files []*File) []Finding {
	var out []Finding
	for _, f := range files {
		if f.Test || !slices.Contains(f.Imports, "log/slog") {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "slog" && slices.Contains(globalLoggers, sel.Sel.Name) {
				line := f.Fset.Position(sel.Pos()).Line
				out = append(out, Finding{f.Path, line, "uses slog." + sel.Sel.Name + ": a logger is passed in"})
			}
			return true
		})
	}
	return sorted(out)
}

// CheckTopLevel returns every name at the root of the tree that does not belong there.
func CheckTopLevel(tree fs.FS) ([]Finding, error) {
	entries, err := fs.ReadDir(tree, ".")
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || slices.Contains(TopLevel, name) {
			continue
		}
		out = append(out, Finding{name, 0, "does not belong at the top: the folders there are fixed (docs/architecture.md)"})
	}
	return sorted(out), nil
}
