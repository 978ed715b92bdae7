package layers

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	codeFence = regexp.MustCompile("(?s)```.*?```")
)

// CheckLinks returns every link from README.md or a page under docs to a file or heading that does not exist.
func CheckLinks(tree fs.FS) ([]Finding, error) {
	var pages []string
	for _, root := range []string{"README.md", "docs"} {
		err := fs.WalkDir(tree, root, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(name, ".md") {
				pages = append(pages, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []Finding
	for _, page := range pages {
		text, err := fs.ReadFile(tree, page)
		if err != nil {
			return nil, err
		}
		for _, match := range mdLink.FindAllStringSubmatch(codeFence.ReplaceAllString(string(text), ""), -1) {
			if reason := brokenLink(tree, page, match[1]); reason != "" {
				out = append(out, Finding{page, 0, reason})
			}
		}
	}
	return sorted(out), nil
}

func brokenLink(tree fs.FS, page, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := page
	if file != "" {
		target = path.Join(path.Dir(page), file)
	}
	info, err := fs.Stat(tree, target)
	if err != nil {
		return fmt.Sprintf("links to %s, which does not exist", link)
	}
	if anchor == "" || info.IsDir() {
		return ""
	}
	text, err := fs.ReadFile(tree, target)
	if err != nil {
		return err.Error()
	}
	for _, heading := range mdHeading.FindAllStringSubmatch(codeFence.ReplaceAllString(string(text), ""), -1) {
		if slug(heading[1]) == anchor {
			return ""
		}
	}
	return fmt.Sprintf("links to %s, a heading that does not exist", link)
}

// slug turns a heading into the anchor that code hosts give it.
func slug(heading string) string {
	return strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// CheckTestsNamed returns every test that a page names and that does not exist.
func CheckTestsNamed(tree fs.FS, page string, files []*File) ([]Finding, error) {
	text, err := fs.ReadFile(tree, page)
	if err != nil {
		return nil, err
	}
	tests := map[string]bool{}
	for _, f := range files {
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.Test {
				tests[fn.Name.Name] = true
			}
		}
	}
	var out []Finding
	for _, match := range testName.FindAllSubmatch(text, -1) {
		if name := string(match[1]); !tests[name] {
			out = append(out, Finding{page, 0, "names " + name + ", a test that does not exist"})
		}
	}
	return sorted(out), nil
}
