// Package layers reads the source tree and says where it breaks the rules of docs/architecture.md: which package
// may know which, where each heavy dependency is at home, and what every file owes its reader.
//
// The rules are data (rules.go); the tests run them over the real tree, and over small broken trees to show
// that each rule can fail.
package layers

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the path of the main module.
const Module = "cairn"

// A File is one parsed Go file.
type File struct {
	Path    string // slash-separated, from the root of the module
	Test    bool
	Lines   int
	Imports []string
	Source  []byte
	Syntax  *ast.File
	Fset    *token.FileSet
}

// Dir returns the folder of the file from the root of the module, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// A Finding is one broken rule.
type Finding struct {
	Path   string
	Line   int // zero when the finding is about the whole file or folder
	Reason string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Reason
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Reason)
}

// Load parses every Go file of the tree, whatever platform it is for. Folders that Go ignores are left out.
func Load(tree fs.FS) ([]*File, error) {
	var files []*File
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := loadFile(tree, name)
		files = append(files, file)
		return err
	})
	return files, err
}

func loadFile(tree fs.FS, name string) (*File, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	file := &File{
		Path: name, Test: strings.HasSuffix(name, "_test.go"), Lines: strings.Count(string(source), "\n"),
		Source: source, Syntax: syntax, Fset: fset,
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		file.Imports = append(file.Imports, imported)
	}
	return file, nil
}

// within reports whether an import path or folder is root or below it.
func within(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}

func withinAny(name string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(name, root) })
}

// sorted orders findings by place and drops repetitions.
func sorted(findings []Finding) []Finding {
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(findings)
}
