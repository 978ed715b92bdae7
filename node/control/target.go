package control

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cairn/share/capability"
)

// HomeAlias is the alias of the person's root directory, which every node has.
const HomeAlias = "home"

// Internals is the name in the root directory of what nodes keep there for themselves.
const Internals = ".cairn"

// ErrInternals says that a copy does not go there.
var ErrInternals = errors.New("nodes keep in home:" + Internals + " what they need themselves; copy it under another name")

// Bounds of targets.
const (
	// MaxTarget is the longest target in bytes.
	MaxTarget = 16 << 10
	// MaxAlias is the longest alias in bytes.
	MaxAlias = 64
)

// A Target is a place on the grid as a person writes it: alias:path, CAPABILITY/path, or a capability alone.
type Target struct {
	Alias      string // empty where a capability is named
	Capability capability.Capability
	Path       string // below that; empty for the thing itself
}

// ParseTarget reads a target. The path is not looked at. The errors have CodeMalformed and contain no capability.
func ParseTarget(text string) (Target, error) {
	switch {
	case len(text) > MaxTarget:
		return Target{}, malformed("the path is longer than %d bytes", MaxTarget)
	case !utf8.ValidString(text):
		return Target{}, malformed("the path is not UTF-8")
	case text == "":
		return Target{}, malformed("the path is empty; name one like %s:docs", HomeAlias)
	case strings.HasPrefix(text, "cairn:"):
		head, path, _ := strings.Cut(text, "/")
		c, err := capability.Parse(head)
		if err != nil {
			return Target{}, &Error{Code: CodeMalformed, Message: err.Error(), Hint: "copy the whole line that \"cairn put\" or \"cairn cap show\" printed"}
		}
		return Target{Capability: c, Path: path}, nil
	}
	alias, path, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(alias, "/") {
		return Target{}, malformed("%s: want ALIAS:PATH, such as %s:%s, or a capability", text, HomeAlias, strings.TrimLeft(text, "/"))
	}
	if err := CheckAlias(alias); err != nil {
		return Target{}, err
	}
	return Target{Alias: alias, Path: path}, nil
}

// OnGrid reports whether a text is meant as a place on the grid and not on disk: it is a capability, or has an alias of at
// least two characters before its first slash.
func OnGrid(text string) bool {
	head, _, _ := strings.Cut(text, "/")
	alias, _, ok := strings.Cut(head, ":")
	return ok && CheckAlias(alias) == nil || strings.HasPrefix(text, "cairn:")
}

// CheckAlias returns an error with CodeMalformed unless the text can be an alias: 2 to 64 letters, digits, dashes, dots and
// underscores, of which the first is a letter or digit.
func CheckAlias(alias string) error {
	bad := len(alias) < 2 || len(alias) > MaxAlias || alias == "cairn"
	for i, c := range alias {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		bad = bad || !letter && (i == 0 || !strings.ContainsRune("-._", c))
	}
	if bad {
		return malformed("%.80q is no alias: want 2 to %d letters, digits, dashes, dots and underscores, other than cairn", alias, MaxAlias)
	}
	return nil
}

// String returns the target for messages, without keys.
func (t Target) String() string {
	if t.Alias != "" {
		return t.Alias + ":" + t.Path
	}
	if t.Path == "" {
		return t.Capability.String()
	}
	return t.Capability.String() + "/" + t.Path
}

// Text returns the target as ParseTarget reads it.
func (t Target) Text() string {
	if t.Alias != "" {
		return t.Alias + ":" + t.Path
	}
	if t.Path == "" {
		return t.Capability.Text()
	}
	return t.Capability.Text() + "/" + t.Path
}

func malformed(format string, args ...any) error {
	return &Error{Code: CodeMalformed, Message: fmt.Sprintf(format, args...)}
}
