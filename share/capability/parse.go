package capability

import (
	"encoding/base32"
	"slices"
	"strings"

	"cairn/internal/spelling"
	"cairn/share"
	"cairn/share/keys"
)

const (
	scheme = "cairn:"
	// maxKind bounds the name of an unknown kind.
	maxKind      = 32
	base32Digits = "abcdefghijklmnopqrstuvwxyz234567"
	base36Digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	indexTextLen = 59
	keyTextLen   = (keys.Size*8 + 4) / 5
)

var base32Lower = base32.NewEncoding(base32Digits).WithPadding(base32.NoPadding)

// Parse reads the text of a capability. It accepts only what Text prints, so two texts that differ are never the same
// capability. A kind that this program does not know is carried verbatim as KindUnknown. The error is a *ParseError.
func Parse(text string) (Capability, error) {
	kindText, rest, err := split(text)
	if err != nil {
		return Capability{}, err
	}
	kind, known := kindOf(kindText)
	if !known {
		return Capability{text: text}, nil
	}
	p := parser{kind: kind, rest: rest, offset: len(text) - len(rest)}
	c := Capability{kind: kind}
	if kind == KindLiteral {
		c.text, err = p.data()
		return orZero(c, err)
	}
	switch kind.shape().subject {
	case subjectIndex:
		c.index, err = p.index()
	case subjectName:
		c.name, err = p.name()
	default: // a literal, which was read above
	}
	if err == nil && kind.shape().key != keyNone {
		c.key, err = p.key(c.name)
	}
	if err == nil {
		err = p.end()
	}
	return orZero(c, err)
}

// ParseKind reads a capability that has to be of one of the kinds. The error is a *ParseError or a *KindError.
func ParseKind(text string, want ...Kind) (Capability, error) {
	c, err := Parse(text)
	if err == nil {
		err = c.Want(want...)
	}
	return orZero(c, err)
}

// Want returns a *KindError unless the capability is of one of the kinds.
func (c Capability) Want(kinds ...Kind) error {
	if slices.Contains(kinds, c.kind) && c.kind != KindUnknown {
		return nil
	}
	return &KindError{Got: c.kind, Want: kinds, Hint: c.hint(kinds)}
}

// hint names the known kind that an unknown one resembles, or the kind that the holder of a weaker one lacks.
func (c Capability) hint(want []Kind) string {
	if c.kind != KindUnknown {
		for _, k := range want {
			if k.shape().verify == c.kind && k.Authority() > AuthorityVerify {
				return "a verify capability checks and repairs, but does not read"
			}
		}
		return ""
	}
	got, _, _ := split(c.text)
	for _, k := range Kinds() {
		if spelling.Distance(got, k.String()) <= 2 {
			return "did you mean cairn:" + k.String() + ":?"
		}
	}
	return "it may need a newer version of this program"
}

func orZero(c Capability, err error) (Capability, error) {
	if err != nil {
		return Capability{}, err
	}
	return c, nil
}

// split checks what all kinds have in common and returns the kind and the fields behind it.
func split(text string) (kind, rest string, err error) {
	if len(text) > MaxText {
		return "", "", malformed(MaxText, "longer than %d characters", MaxText)
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' {
			return "", "", malformed(i, "a space or another character that no capability has")
		}
	}
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return "", "", malformed(0, "%s", foreign(text))
	}
	kind, rest, ok = strings.Cut(rest, ":")
	for i := range len(kind) {
		if c := kind[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') || i == maxKind {
			return "", "", malformed(len(scheme)+i, "the kind is up to %d lower-case letters, digits and dashes", maxKind)
		}
	}
	switch {
	case kind == "":
		return "", "", malformed(len(scheme), "the kind is missing, such as file in cairn:file:…")
	case !ok:
		return "", "", malformed(len(text), "the text ends after the kind, a colon and the fields are missing")
	case rest == "" && kind != KindLiteral.String():
		return "", "", malformed(len(text), "the text ends before the fields")
	}
	return kind, rest, nil
}

// foreign explains a text that does not begin like a capability.
func foreign(text string) string {
	switch {
	case text == "":
		return "it is empty"
	case strings.HasPrefix(text, "URI:"):
		return "this is a Tahoe-LAFS capability, want one that begins with cairn:"
	case strings.HasPrefix(text, "cairn-"):
		return "this is not a capability but another of this program's texts, want one that begins with cairn:"
	case strings.HasPrefix(text, "bafy"):
		return "this is a bare CID, want a capability such as cairn:file-verify: with the CID behind it"
	case strings.EqualFold(text[:min(len(text), len(scheme))], scheme):
		return "capabilities are in lower case"
	}
	return "want a text that begins with cairn:"
}

// A parser takes one field after the other off the text of a known kind.
type parser struct {
	kind   Kind
	rest   string
	offset int // of rest in the text
	fields int
}

// field returns the next field, which has exactly n characters of the alphabet, and its offset.
func (p *parser) field(what string, n int, digits string) (string, int, error) {
	if p.fields++; p.fields > 1 {
		if p.rest == "" {
			return "", 0, malformed(p.offset, "%s has a %s here, it is missing", p.kind.Noun(), what)
		}
		p.rest, p.offset = p.rest[1:], p.offset+1 // the colon at which the field before ended
	}
	field, _, _ := strings.Cut(p.rest, ":")
	offset := p.offset
	p.rest, p.offset = p.rest[len(field):], p.offset+len(field)
	for i := range len(field) {
		if !strings.Contains(digits, field[i:i+1]) {
			return "", 0, malformed(offset+i, "no %s contains this character", what)
		}
	}
	if n > 0 && len(field) != n {
		return "", 0, malformed(offset+min(n, len(field)), "the %s has %d characters, want %d", what, len(field), n)
	}
	return field, offset, nil
}

func (p *parser) index() (share.StorageIndex, error) {
	field, offset, err := p.field("root CID", indexTextLen, base32Digits)
	if err != nil {
		return share.StorageIndex{}, err
	}
	index, err := share.ParseStorageIndex(field)
	if err != nil {
		// The cause quotes the field, which is a key when two fields are swapped.
		return index, malformed(offset, "not the CID of a root: want version 1, dag-cbor, sha2-256, in base32")
	}
	return index, nil
}

func (p *parser) name() (share.Name, error) {
	field, offset, err := p.field("name", share.NameLen, base36Digits)
	if err != nil {
		return share.Name{}, err
	}
	name, err := share.ParseName(field)
	if err != nil {
		return name, malformed(offset, "%v", err)
	}
	return name, nil
}

// key reads the read or write key. A write key belongs to exactly one name; a read key shows only when it is used.
func (p *parser) key(name share.Name) (key [keys.Size]byte, err error) {
	field, offset, err := p.field("key", keyTextLen, base32Digits)
	if err != nil {
		return key, err
	}
	raw, err := decodeBase32(field)
	if err != nil {
		return key, malformed(offset+len(field)-1, "the key ends in bits that must be zero")
	}
	copy(key[:], raw)
	if p.kind.shape().key == keyWrite && NameOf(key) != name {
		return key, malformed(offset, "this is not the write key of the name before it")
	}
	return key, nil
}

func (p *parser) data() (string, error) {
	field, offset, err := p.field("literal", 0, base32Digits)
	if err != nil {
		return "", err
	}
	raw, err := decodeBase32(field)
	switch {
	case err != nil:
		return "", malformed(offset+len(field)-1, "the data ends in the middle of a byte")
	case len(raw) > MaxLiteral:
		return "", malformed(offset, "a literal of %d bytes, at most %d", len(raw), MaxLiteral)
	}
	return string(raw), p.end()
}

func (p *parser) end() error {
	if p.rest != "" {
		return malformed(p.offset, "%s ends here, more follows", p.kind.Noun())
	}
	return nil
}

// decodeBase32 accepts only the one spelling of each sequence of bytes.
func decodeBase32(text string) ([]byte, error) {
	raw, err := base32Lower.DecodeString(text)
	if err == nil && base32Lower.EncodeToString(raw) != text {
		err = base32.CorruptInputError(len(text) - 1)
	}
	return raw, err
}
