package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxName is the longest name of an entry, in bytes of UTF-8 after normalisation. It is what the file systems of
// today's systems take, so that every name of a grid can be a name on a disk and the other way round.
const MaxName = 255

// A NameError says why a name cannot be the name of an entry.
type NameError struct {
	Name   string
	Reason string
}

func (e *NameError) Error() string { return fmt.Sprintf("name %q: %s", Short(e.Name), e.Reason) }

// Short returns a name for a message: of one that is longer than any can be, the beginning.
func Short(name string) string {
	if len(name) <= MaxName {
		return name
	}
	return strings.ToValidUTF8(name[:32], "") + "…"
}

// CheckName returns the normalised form (Unicode NFC) of a name, under which it is stored and looked up: names that differ
// only in normalisation are the same name. Names that differ in case are different names. The error is a *NameError.
func CheckName(name string) (string, error) {
	if reason := illegal(name); reason != "" {
		return "", &NameError{name, reason}
	}
	nfc := norm.NFC.String(name)
	const joiner = "\u034f" // inserted by the library where too many marks follow each other
	switch {
	case strings.Count(nfc, joiner) != strings.Count(name, joiner):
		return "", &NameError{name, "more than 30 combining marks follow each other"}
	case len(nfc) > MaxName:
		return "", &NameError{name, fmt.Sprintf("%d bytes in UTF-8, at most %d", len(nfc), MaxName)}
	}
	return nfc, nil
}

// illegal says what forbids a name in whatever normalisation, or nothing.
func illegal(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case name == ".", name == "..":
		return "it stands for a directory itself in paths"
	case !utf8.ValidString(name):
		return "it is not valid UTF-8"
	}
	for _, r := range name {
		switch {
		case r == '/':
			return "it contains a slash, which separates names in paths"
		case r == 0:
			return "it contains a zero byte"
		case unicode.IsControl(r):
			return fmt.Sprintf("it contains the control character U+%04X", r)
		}
	}
	return ""
}

// checkStored is the rule for names in pages. Their normalisation is not part of it: what is normalised depends, for
// characters younger than a program, on the program's tables, and a directory must not become unreadable by that.
func checkStored(name string) error {
	if reason := illegal(name); reason != "" {
		return corrupt("a name is not allowed: %s", reason)
	}
	if len(name) > MaxName {
		return corrupt("a name of %d bytes", len(name))
	}
	return nil
}
