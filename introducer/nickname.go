package introducer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxReason is the longest reason of a revocation, in bytes.
const MaxReason = 200

// ValidNickname checks the nickname of a member or the name of a device: what ValidName asks for, and no character that
// prints as nothing or as a space, nor two spaces in a row.
func ValidNickname(name string) error {
	if err := ValidName(name); err != nil {
		return fmt.Errorf("nick%w", err)
	}
	if strings.Contains(name, "  ") {
		return fmt.Errorf("nickname %q has two spaces in a row", name)
	}
	visible := false
	for _, r := range name {
		if blank(r) {
			return fmt.Errorf("nickname %q contains U+%04X, which looks like a space or like nothing", name, r)
		}
		visible = visible || !unicode.IsMark(r)
	}
	if !visible {
		return fmt.Errorf("nickname %q consists of accents alone", name)
	}
	return nil
}

// blank reports whether a character counts as printable and yet shows as a space or as nothing.
func blank(r rune) bool {
	switch {
	case r == 0x034F, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x2800, r == 0x3164, r == 0xFFA0:
		return true
	case r == 0xFFFC, r == 0xFFFD:
		return true
	case r >= 0x180B && r <= 0x180F, r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return true
	}
	return false
}

// fold maps nicknames that people take for the same one to one text: capitals do not count.
func fold(nickname string) string {
	for i := range len(nickname) {
		if nickname[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(nickname)) // some letters have two small forms
		}
	}
	return strings.ToLower(nickname)
}

// ValidReason returns why a text is no reason for a revocation: it is too long, or does not print.
func ValidReason(reason string) error {
	if len(reason) > MaxReason {
		return fmt.Errorf("the reason has %d bytes: want at most %d", len(reason), MaxReason)
	}
	if strings.ToValidUTF8(reason, "") != reason {
		return errors.New("the reason is not valid UTF-8")
	}
	for _, r := range reason {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the reason contains %q, which does not print", r)
		}
	}
	return nil
}
