package tree

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"cairn/grid/dir"
	"cairn/share/capability"
)

// MaxDepth is how many names a path has at most.
const MaxDepth = 4096

// ErrNotDirectory says that a path goes on behind something that is not a directory.
var ErrNotDirectory = errors.New("not a directory")

// ErrIsDirectory says that something is a directory where a file is wanted.
var ErrIsDirectory = errors.New("it is a directory")

// A PathError says which path an error is about: the part of it up to where it goes wrong.
type PathError struct {
	Path string
	Err  error
}

func (e *PathError) Error() string {
	if e.Path == "" {
		return e.Err.Error()
	}
	return OneLine(e.Path) + ": " + e.Err.Error()
}

// OneLine returns a path for a message, with its control characters escaped. No name has any, but what was asked for may.
func OneLine(path string) string {
	var b strings.Builder
	for _, r := range path {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *PathError) Unwrap() error { return e.Err }

// at says what an error is about, unless it says so already.
func at(path []string, err error) error {
	if err == nil {
		return nil
	}
	if _, said := errors.AsType[*PathError](err); said {
		return err
	}
	return &PathError{Path: Join(path), Err: err}
}

// Join returns the text of a path.
func Join(path []string) string { return strings.Join(path, "/") }

// Split returns the names of a path, each in its normalised form, and whether it ends with a slash. Repeated slashes and
// the name '.' count for nothing, as in a shell. The name '..' is refused with a *dir.NameError, and so is what no entry can be
// called: a directory of the grid may be in many directories, so there is no one above it, and no path escapes from where it
// begins.
func Split(path string) (names []string, slash bool, err error) {
	for part := range strings.SplitSeq(path, "/") {
		slash = part == "" || part == "."
		if slash {
			continue
		}
		name, err := dir.CheckName(part)
		if err != nil {
			return nil, false, &PathError{Path: Join(append(names, dir.ShortName(part))), Err: err}
		}
		if names = append(names, name); len(names) > MaxDepth {
			return nil, false, &PathError{Path: Join(names[:8]) + "/…", Err: fmt.Errorf("%w: more than %d names", errTooDeep, MaxDepth)}
		}
	}
	return names, slash && len(names) > 0, nil
}

var errTooDeep = errors.New("the path is too deep")

// IsDirectory reports whether a capability is that of a directory, whatever it allows.
func IsDirectory(c capability.Capability) bool {
	switch c.Kind() {
	case capability.KindDir, capability.KindDirRead, capability.KindDirVerify, capability.KindIDir, capability.KindIDirVerify:
		return true
	default:
		return false
	}
}

// ID returns a text that is the same for every capability of one thing, and no secret: its name or its storage index. It
// is empty for literals and for unknown kinds.
func ID(c capability.Capability) string {
	if name, ok := c.Name(); ok {
		return name.String()
	}
	if index, ok := c.StorageIndex(); ok {
		return index.String()
	}
	return ""
}
