package capability

import (
	"errors"
	"fmt"
	"strings"
)

// ErrMalformed is wrapped by every error about the text of a capability and by every error about its kind.
var ErrMalformed = errors.New("malformed capability")

// ErrAuthority says that a capability does not give the authority that was asked for.
var ErrAuthority = errors.New("the capability does not give that authority")

// A ParseError says what is wrong with the text of a capability, and where. It never contains any of the text. It
// wraps ErrMalformed.
type ParseError struct {
	Column int // where the text goes wrong, counted in bytes from 1
	Reason string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("malformed capability: at character %d: %s", e.Column, e.Reason)
}

// Unwrap returns ErrMalformed.
func (e *ParseError) Unwrap() error { return ErrMalformed }

func malformed(offset int, format string, args ...any) error {
	return &ParseError{Column: offset + 1, Reason: fmt.Sprintf(format, args...)}
}

// A KindError says that a capability is of another kind than the one that is needed. It wraps ErrMalformed.
type KindError struct {
	Got  Kind
	Want []Kind
	Hint string // what the holder may have meant, empty mostly
}

func (e *KindError) Error() string {
	nouns := make([]string, len(e.Want))
	for i, k := range e.Want {
		nouns[i] = k.Noun()
	}
	text := fmt.Sprintf("this is %s, want %s", e.Got.Noun(), strings.Join(nouns, " or "))
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap returns ErrMalformed.
func (e *KindError) Unwrap() error { return ErrMalformed }
