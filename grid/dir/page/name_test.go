package page_test

import (
	"errors"
	"strings"
	"testing"

	"cairn/grid/dir/page"
)

// A name and what it becomes, or what the refusal says.
type nameCase struct {
	Name string `json:"name"`
	NFC  string `json:"nfc,omitempty"`
	Says string `json:"says,omitempty"`
}

// nameCases holds no invalid UTF-8, which JSON cannot carry.
var nameCases = []nameCase{
	{Name: "a", NFC: "a"},
	{Name: "...", NFC: "..."},
	{Name: " spaces around ", NFC: " spaces around "},
	{Name: "back\\slash:and*others?", NFC: "back\\slash:and*others?"},
	{Name: "caf\u00e9", NFC: "caf\u00e9"},
	{Name: "cafe\u0301", NFC: "caf\u00e9"},
	{Name: "A\u030angstr\u00f6m", NFC: "\u00c5ngstr\u00f6m"},
	{Name: "\u212b", NFC: "\u00c5"},
	{Name: "\u1100\u1161", NFC: "\uac00"},
	{Name: "q\u0307\u0323", NFC: "q\u0323\u0307"},
	{Name: "\ufb01", NFC: "\ufb01"}, // a ligature is another name: only canonical equivalence counts
	{Name: "stra\u00dfe", NFC: "stra\u00dfe"},
	{Name: "\U0001f469\u200d\U0001f680", NFC: "\U0001f469\u200d\U0001f680"},
	{Name: strings.Repeat("n", 255), NFC: strings.Repeat("n", 255)},
	{Name: strings.Repeat("u\u0308", 127), NFC: strings.Repeat("\u00fc", 127)}, // 381 bytes before
	{Name: strings.Repeat("n", 256), Says: "256 bytes in UTF-8, at most 255"},
	{Name: strings.Repeat("\ufb2c", 64), Says: "384 bytes in UTF-8, at most 255"}, // 192 bytes before
	{Name: "", Says: "it is empty"},
	{Name: ".", Says: "stands for a directory itself"},
	{Name: "..", Says: "stands for a directory itself"},
	{Name: "a/b", Says: "a slash"},
	{Name: "a\x00", Says: "a zero byte"},
	{Name: "a\nb", Says: "the control character U+000A"},
	{Name: "\x7f", Says: "the control character U+007F"},
	{Name: "\u0085", Says: "the control character U+0085"},
	{Name: "a" + strings.Repeat("\u0301", 31), Says: "combining marks"},
}

func TestNames(t *testing.T) {
	for _, c := range append(nameCases, nameCase{Name: "\xff", Says: "not valid UTF-8"}, nameCase{Name: "\xed\xa0\x80", Says: "not valid UTF-8"}) {
		got, err := page.CheckName(c.Name)
		var bad *page.NameError
		switch {
		case c.Says == "" && (err != nil || got != c.NFC):
			t.Errorf("%q becomes %q, want %q: %v", c.Name, got, c.NFC, err)
		case c.Says != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), c.Says)):
			t.Errorf("%q: %q, %v, want %s", c.Name, got, err, c.Says)
		}
	}
}
