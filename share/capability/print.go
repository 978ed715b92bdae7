package capability

import (
	"fmt"
	"log/slog"
)

// Text returns the capability as Parse reads it, with its keys. Whoever sees it has the authority.
func (c Capability) Text() string {
	s := c.kind.shape()
	switch {
	case c.kind == KindUnknown:
		return c.text
	case c.kind == KindLiteral:
		return scheme + s.text + ":" + base32Lower.EncodeToString([]byte(c.text))
	case s.key == keyNone:
		return scheme + s.text + ":" + c.subject()
	}
	return scheme + s.text + ":" + c.subject() + ":" + base32Lower.EncodeToString(c.key[:])
}

// subject returns the text of what identifies the thing.
func (c Capability) subject() string {
	if c.kind.shape().subject == subjectName {
		return c.name.String()
	}
	return c.index.String()
}

// String returns a form for messages and logs that holds no secret: the verify capability of an immutable file or
// directory, and for other kinds a label with the end of the name, such as [cairn:dir:…4k2f].
func (c Capability) String() string {
	switch s := c.kind.shape(); {
	case c.IsZero():
		return "[no capability]"
	case c.kind == KindUnknown:
		kind, _, _ := split(c.text)
		return "[" + scheme + kind + ":…]"
	case c.kind == KindLiteral:
		return fmt.Sprintf("[%sliteral:… %d bytes]", scheme, len(c.text))
	case s.subject == subjectIndex:
		return scheme + s.verify.String() + ":" + c.subject()
	case s.key == keyNone:
		return c.Text()
	default:
		name := c.subject()
		return "[" + scheme + s.text + ":…" + name[len(name)-4:] + "]"
	}
}

// GoString returns what String returns.
func (c Capability) GoString() string { return c.String() }

// Format prints what String returns, whatever the verb.
func (c Capability) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue returns what String returns.
func (c Capability) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns what String returns, so that a structure that holds a capability can be printed. It is not for
// keeping: store Text.
func (c Capability) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
