package encoding_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestInvariantsAreTested: every test that docs/formats.md names exists in the package that it names.
func TestInvariantsAreTested(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, invariants, _ := regexpCut(text, `(?m)^## Invariants$`)
	invariants, _, _ = regexpCut(invariants, `(?m)^## Vectors$`)
	named := 0
	var sources []byte
	for _, word := range regexp.MustCompile("`([a-z]+(?:/[a-z]+)*|Test\\w+|Fuzz\\w+)`").FindAllSubmatch(invariants, -1) {
		name := string(word[1])
		if name[0] >= 'a' {
			sources = testSources(t, name)
			continue
		}
		named++
		if !regexp.MustCompile(`(?m)^func ` + name + `\(`).Match(sources) {
			t.Errorf("docs/formats.md names %s, which is not in the package named before it", name)
		}
	}
	if named < 20 {
		t.Errorf("only %d tests found in docs/formats.md", named)
	}
}

func regexpCut(text []byte, at string) (before, after []byte, found bool) {
	where := regexp.MustCompile(at).FindIndex(text)
	if where == nil {
		return text, nil, false
	}
	return text[:where[0]], text[where[1]:], true
}

func testSources(t *testing.T, folder string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("docs/formats.md names the package %s: %d files, %v", folder, len(files), err)
	}
	var all []byte
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source...)
	}
	return all
}
