package invite

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"

	"cairn/share"
)

// Prefix starts the text of every invitation.
const Prefix = "cairn-invite:"

const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

var text32 = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// The text is cut into groups of seven characters, each followed by one that checks them.
const (
	groupData = 7
	groupSize = groupData + 1
	maxText   = 4 << 10
)

// A TextError says where a text is not the invitation that it was. It wraps ErrMalformed.
type TextError struct {
	// Group is the number of the first group that is wrong, counted from 1; 0 where it is none in particular.
	Group int
	// Groups is how many the invitation has, 0 when that is not known.
	Groups int
	// Problem says what is wrong, for people.
	Problem string
}

func (e *TextError) Error() string {
	switch {
	case e.Group == 0:
		return fmt.Sprintf("%v: %s", ErrMalformed, e.Problem)
	case e.Groups == 0:
		return fmt.Sprintf("%v: group %d %s", ErrMalformed, e.Group, e.Problem)
	}
	return fmt.Sprintf("%v: group %d of %d %s", ErrMalformed, e.Group, e.Groups, e.Problem)
}

// Unwrap returns ErrMalformed.
func (e *TextError) Unwrap() error { return ErrMalformed }

// formatGroups writes data in base32, in groups with their checks.
func formatGroups(data []byte) string {
	text := text32.EncodeToString(data)
	var b strings.Builder
	for i := 0; len(text) > 0; i++ {
		n := min(groupData, len(text))
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[:n])
		b.WriteByte(alphabet[check(values(text[:n]), i)])
		text = text[n:]
	}
	return b.String()
}

// values returns what the characters stand for; all of them are of the alphabet.
func values(text string) []byte {
	v := make([]byte, len(text))
	for i := range v {
		v[i] = byte(strings.IndexByte(alphabet, text[i]))
	}
	return v
}

// check returns the value of the check character: the sum of α^(i+1) times the i-th value in GF(32), plus the number of the
// group. It differs when one character is another one, and when two of the group, or two groups, change places.
func check(values []byte, group int) byte {
	sum, weight := byte(group&31), byte(1)
	for _, v := range values {
		weight = times(weight, 2)
		sum ^= times(weight, v)
	}
	return sum
}

// times multiplies in GF(32) with the polynomial x^5+x^2+1.
func times(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		if a <<= 1; a&32 != 0 {
			a ^= 0x25
		}
	}
	return product
}

// Parse reads the text of an invitation, however it is capitalised, broken into lines or grouped. Errors wrap ErrMalformed and
// say in which group of characters something is wrong; an invitation of a later version is share.ErrVersion. Whether the time
// of the invitation is over is left to the caller.
func Parse(text string) (Invitation, error) {
	if len(text) > maxText {
		return Invitation{}, &TextError{Problem: fmt.Sprintf("%d characters are too many", len(text))}
	}
	text = strings.TrimSpace(text)
	if len(text) < len(Prefix) || !strings.EqualFold(text[:len(Prefix)], Prefix) {
		return Invitation{}, &TextError{Problem: "it does not start with " + Prefix}
	}
	body, err := characters(text[len(Prefix):])
	if err != nil {
		return Invitation{}, err
	}
	length, err := header(body)
	if err != nil {
		return Invitation{}, err
	}
	data := text32.EncodedLen(length)
	groups := (data + groupData - 1) / groupData
	if err := checkGroups(body, data+groups, groups); err != nil {
		return Invitation{}, err
	}
	var plain strings.Builder
	for i, c := range []byte(body) {
		if i%groupSize != groupData && i != len(body)-1 {
			plain.WriteByte(c)
		}
	}
	bytes, err := text32.DecodeString(plain.String())
	if err != nil {
		return Invitation{}, &TextError{Problem: "it is not base32"}
	}
	return decode(bytes)
}

// characters returns the characters of the alphabet, without what is between them.
func characters(text string) (string, error) {
	var b strings.Builder
	for _, r := range text {
		if r == '-' || unicode.IsSpace(r) {
			continue
		}
		if r = unicode.ToLower(r); r > unicode.MaxASCII || strings.IndexByte(alphabet, byte(r)) < 0 {
			problem := fmt.Sprintf("has the character %q, which no invitation has", r)
			if like, ok := map[rune]string{'0': "o", '1': "l or i", '8': "b", '9': "g"}[r]; ok {
				problem += "; perhaps it is " + like
			}
			return "", &TextError{Group: b.Len()/groupSize + 1, Problem: problem}
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

// header reads the length of the invitation from the first group.
func header(body string) (length int, err error) {
	if len(body) < groupSize {
		return 0, &TextError{Problem: "it is cut off"}
	}
	v := values(body[:groupSize])
	if check(v[:groupData], 0) != v[groupData] {
		return 0, &TextError{Group: 1, Problem: "is mistyped"}
	}
	head, err := text32.DecodeString(body[:groupData])
	if err != nil {
		return 0, &TextError{Group: 1, Problem: "is mistyped"}
	}
	if head[0] != version {
		return 0, fmt.Errorf("invitation of version %d: %w", head[0], share.ErrVersion)
	}
	length = int(binary.BigEndian.Uint16(head[2:]))
	if length < minEncoded || length > maxEncoded {
		return 0, &TextError{Group: 1, Problem: "gives a length that no invitation has"}
	}
	return length, nil
}

// checkGroups finds the first group that does not match its check.
func checkGroups(body string, want, groups int) error {
	first, wrong, seen := 0, 0, 0
	for i := 0; i*groupSize < len(body) && i < groups; i++ {
		end := min((i+1)*groupSize, want)
		if end > len(body) {
			break // cut off in this group
		}
		v := values(body[i*groupSize : end])
		seen++
		if check(v[:len(v)-1], i) != v[len(v)-1] {
			wrong++
			if first == 0 {
				first = i + 1
			}
		}
	}
	switch {
	case wrong > 2 && wrong == seen-first+1:
		return &TextError{Group: first, Groups: groups, Problem: "or the one before has a character too many or too few"}
	case wrong > 1:
		return &TextError{Group: first, Groups: groups, Problem: fmt.Sprintf("is mistyped, and %d more", wrong-1)}
	case wrong > 0:
		return &TextError{Group: first, Groups: groups, Problem: "is mistyped"}
	case len(body) < want:
		return &TextError{Groups: groups, Problem: fmt.Sprintf("it is cut off: %d of %d groups are there", len(body)/groupSize, groups)}
	case len(body) > want:
		return &TextError{Groups: groups, Problem: fmt.Sprintf("%d characters follow its end", len(body)-want)}
	}
	return nil
}
