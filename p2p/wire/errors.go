package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"cairn/share"
)

// A Code stands for an error on the wire.
type Code uint8

// codes is the table of the errors that cross the wire as what they are: the code is the place in it. CodeInternal
// stands for every other error.
var codes = [...]error{
	1:               share.ErrNotFound,
	2:               share.ErrCorrupt,
	3:               share.ErrNoSpace,
	4:               share.ErrReadOnly,
	codeDenied:      share.ErrDenied,
	6:               share.ErrBusy,
	7:               share.ErrTooLarge,
	codeUnavailable: share.ErrUnavailable,
	9:               share.ErrVersion,
	10:              io.ErrUnexpectedEOF, // the share ends before the bytes that were asked for
}

const (
	codeDenied      Code = 5
	codeUnavailable Code = 8
)

// CodeInternal says that the server failed in a way that has no name.
const CodeInternal Code = 15

// An Error is the answer to a request that failed. It is an error that unwraps to the one its code stands for.
type Error struct {
	Code Code   `cbor:"1,keyasint"`
	Text string `cbor:"2,keyasint"`
}

// Kind returns KindError.
func (Error) Kind() Kind { return KindError }

func (e Error) validate() error {
	if e.sentinel() == nil && e.Code != CodeInternal {
		return fmt.Errorf("error code %d: %w", e.Code, share.ErrVersion)
	}
	if e.Text != clean(e.Text) {
		return fmt.Errorf("%w: the text of the error is longer than %d bytes or does not print", share.ErrCorrupt, MaxText)
	}
	return nil
}

// Error returns the text as the peer sent it.
func (e Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("peer answered error %d", e.Code)
	}
	return e.Text
}

// Unwrap returns the error that the code stands for, nil for CodeInternal. For a refusal because of a quota it returns the
// *share.QuotaError.
func (e Error) Unwrap() error {
	if q := e.quota(); q != nil {
		return q
	}
	return e.sentinel()
}

func (e Error) sentinel() error {
	if int(e.Code) >= len(codes) {
		return nil
	}
	return codes[e.Code]
}

// ErrorOf returns the message that reports an error to a peer. The text of errors that have no code, and of those that
// carry a path of this machine, stays here.
func ErrorOf(err error) Error {
	if quota, ok := quotaError(err); ok {
		return quota
	}
	code := codeOf(err)
	if code == CodeInternal {
		return Error{Code: code, Text: "internal error"}
	}
	if _, local := errors.AsType[*fs.PathError](err); local {
		return Error{Code: code, Text: codes[code].Error()}
	}
	return Error{Code: code, Text: clean(err.Error())}
}

func codeOf(err error) Code {
	for code, sentinel := range codes {
		if sentinel != nil && errors.Is(err, sentinel) {
			return Code(code)
		}
	}
	// A store that is closed, and a server that shuts down, are gone for the peer.
	if errors.Is(err, share.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return codeUnavailable
	}
	return CodeInternal
}

// clean returns the printable part of a text, cut to MaxText bytes.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	for len(text) > MaxText {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
