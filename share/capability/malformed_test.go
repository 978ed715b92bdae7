package capability_test

import (
	"errors"
	"strings"
	"testing"

	"cairn/share/capability"
)

const (
	goodCID = "bafyreifqwkmiw256ojf2zws6tzjeonw6bpd5vza4i22ccpcq4hjv2ts7cm"
	goodKey = "gaytemzugu3doobzmfrggzdfmy"
)

// A malformedText is a text that is no capability: what the error must say, and where.
type malformedText struct {
	about, text string
	column      int
	says        string
}

func malformedTexts() []malformedText {
	dir := capability.Directory([16]byte([]byte("0123456789abcdef")))
	name, _ := dir.Name()
	return []malformedText{
		{"empty", "", 1, "empty"},
		{"no scheme", "hello", 1, "begins with cairn:"},
		{"a path", "home:docs", 1, "begins with cairn:"},
		{"upper-case scheme", "CAIRN:file:" + goodCID + ":" + goodKey, 1, "lower case"},
		{"Tahoe-LAFS", "URI:CHK:aaaa:bbbb:3:10:100", 1, "Tahoe-LAFS"},
		{"bare CID", goodCID, 1, "bare CID"},
		{"grid address", "cairn-grid:abc", 1, "not a capability"},
		{"no kind", "cairn:", 7, "kind is missing"},
		{"empty kind", "cairn::x", 7, "kind is missing"},
		{"kind alone", "cairn:file", 11, "ends after the kind"},
		{"no fields", "cairn:file:", 12, "ends before the fields"},
		{"upper-case kind", "cairn:File:" + goodCID, 7, "lower-case letters"},
		{"long kind", "cairn:" + strings.Repeat("x", 33) + ":y", 39, "up to 32"},
		{"leading space", " cairn:literal:", 1, "space"},
		{"line end", "cairn:literal:\n", 15, "space"},
		{"not ASCII", "cairn:literal:ä", 15, "space or another character"},
		{"too long", "cairn:later:" + strings.Repeat("x", capability.MaxText), capability.MaxText + 1, "longer than"},
		{"key missing", "cairn:file:" + goodCID, 71, "key here, it is missing"},
		{"key empty", "cairn:file:" + goodCID + ":", 72, "key has 0 characters, want 26"},
		{"key cut", "cairn:file:" + goodCID + ":" + goodKey[:20], 92, "key has 20 characters, want 26"},
		{"key with a typo", "cairn:file:" + goodCID + ":" + goodKey[:5] + "1" + goodKey[6:], 77, "no key contains this character"},
		{"key in upper case", "cairn:file:" + goodCID + ":" + strings.ToUpper(goodKey), 72, "no key contains this character"},
		{"key with other bits", "cairn:file:" + goodCID + ":" + goodKey[:25] + "z", 97, "bits that must be zero"},
		{"more behind it", "cairn:file:" + goodCID + ":" + goodKey + ":x", 98, "more follows"},
		{"key on a verify capability", "cairn:file-verify:" + goodCID + ":" + goodKey, 78, "more follows"},
		{"CID cut", "cairn:file:" + goodCID[:40] + ":" + goodKey, 52, "root CID has 40 characters, want 59"},
		{"fields swapped", "cairn:file:" + goodKey + ":" + goodCID, 38, "root CID has 26 characters"},
		{"CID of a raw block", "cairn:file:" + strings.Replace(goodCID, "bafyrei", "bafkrei", 1) + ":" + goodKey, 12, "not the CID of a root"},
		{"CID in upper-case base", "cairn:file-verify:B" + strings.ToUpper(goodCID[1:]), 19, "no root CID contains"},
		{"CID version 0", "cairn:file-verify:QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWNn9mM", 19, "no root CID contains"},
		{"CID for a name", "cairn:dir-verify:" + goodCID, 77, "name has 59 characters, want 62"},
		{"name of another key type", "cairn:dir-verify:k2" + name.String()[2:], 18, "not a name"},
		{"write key of another name", "cairn:dir:" + name.String() + ":" + "b" + goodKey[1:], 74, "not the write key"},
		{"literal of 56 bytes", "cairn:literal:" + strings.Repeat("a", 90), 15, "56 bytes, at most 55"},
		{"literal with half a byte", "cairn:literal:abc", 17, "middle of a byte"},
		{"literal with other bits", "cairn:literal:nb", 16, "middle of a byte"},
		{"literal with padding", "cairn:literal:nbswy3dp====", 23, "no literal contains"},
		{"literal and more", "cairn:literal:nbswy3dp:", 23, "more follows"},
	}
}

func TestMalformed(t *testing.T) {
	for _, test := range malformedTexts() {
		t.Run(test.about, func(t *testing.T) {
			c, err := capability.Parse(test.text)
			malformed, ok := errors.AsType[*capability.ParseError](err)
			if !ok || !errors.Is(err, capability.ErrMalformed) || !c.IsZero() {
				t.Fatalf("%q: accepted as %v with error %v", test.text, c.Kind(), err)
			}
			if malformed.Column != test.column || !strings.Contains(malformed.Reason, test.says) {
				t.Errorf("%q:\n got character %d: %s\nwant character %d: …%s…", test.text, malformed.Column, malformed.Reason, test.column, test.says)
			}
		})
	}
}
