package localtree

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A Filter says what is left out of a walk. Its patterns are those of .gitignore files, as far as people use them:
//
//   - `*`, `?`, `[a-z]` and `{a,b}` match within a name, `**` any number of folders;
//   - a pattern without a slash matches a name in any folder, one with a slash a path from the top of the tree;
//   - a slash at the end matches folders only, and everything below them is left out;
//   - `!` in front takes back what an earlier pattern has left out; the last pattern that matches decides.
type Filter struct{ rules []rule }

type rule struct {
	pattern  string
	anywhere bool // matches a name in any folder
	folder   bool // matches folders only
	keep     bool
}

// A PatternError says which pattern cannot be read.
type PatternError struct{ Pattern string }

func (e *PatternError) Error() string {
	return fmt.Sprintf("bad pattern %q: brackets and braces must be closed", e.Pattern)
}

// NewFilter reads patterns. Empty ones, and those that begin with #, are passed over.
func NewFilter(patterns []string) (*Filter, error) {
	f := &Filter{}
	for _, text := range patterns {
		p := strings.TrimSpace(text)
		if p == "" || strings.HasPrefix(p, "#") {
			continue
		}
		var r rule
		p, r.keep = strings.CutPrefix(p, "!")
		p, r.folder = strings.CutSuffix(p, "/")
		r.anywhere = !strings.Contains(p, "/")
		r.pattern = strings.TrimPrefix(p, "/")
		if r.pattern == "" || !doublestar.ValidatePattern(r.pattern) {
			return nil, &PatternError{text}
		}
		f.rules = append(f.rules, r)
	}
	return f, nil
}

// Excludes reports whether something is left out; at is its path from the top of the tree.
func (f *Filter) Excludes(at string, folder bool) bool {
	excluded := false
	for _, r := range f.rules {
		if r.keep != excluded || r.folder && !folder {
			continue // would change nothing, or does not apply
		}
		subject := at
		if r.anywhere {
			subject = path.Base(at)
		}
		if doublestar.MatchUnvalidated(r.pattern, subject) {
			excluded = !r.keep
		}
	}
	return excluded
}
