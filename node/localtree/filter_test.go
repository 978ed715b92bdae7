package localtree_test

import (
	"strings"
	"testing"

	"cairn/node/localtree"
)

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		patterns string // separated by blanks
		path     string // with a slash at the end for folders
		excluded bool
	}{
		{"*.o", "a/b/x.o", true},
		{"*.o", "a/b/x.old", false},
		{"/*.o", "a/x.o", false},
		{"/*.o", "x.o", true},
		{"build/", "src/build/", true},
		{"build/", "src/build", false},
		{"src/build", "src/build/", true},
		{"src/build", "x/src/build/", false},
		{"**/src/build", "x/y/src/build/", true},
		{"a/**", "a/b/c", true},
		{"a/**/z", "a/z", true},
		{"*.log !keep.log", "x/keep.log", false},
		{"*.log !keep.log", "x/other.log", true},
		{"!keep.log *.log", "keep.log", true},
		{"*.{tmp,bak}", "x.bak", true},
		{"#comment", "#comment", false},
		{"[ab]?c", "bxc", true},
		{"", "anything", false},
	} {
		f, err := localtree.NewFilter(strings.Split(c.patterns, " "))
		if err != nil {
			t.Fatal(err)
		}
		at, folder := strings.CutSuffix(c.path, "/")
		if got := f.Excludes(at, folder); got != c.excluded {
			t.Errorf("%q on %s: %v, want %v", c.patterns, c.path, got, c.excluded)
		}
	}
}

func TestBadPatterns(t *testing.T) {
	for _, p := range []string{"[", "a{b", "/", "!", "!/"} {
		if _, err := localtree.NewFilter([]string{p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}
