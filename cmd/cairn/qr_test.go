package main

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"
)

// What is drawn is the code, with its quiet zone, module by module.
func TestPrintQR(t *testing.T) {
	const text = "CAIRN-INVITE:AEBABB2M-7K3TULQE"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printQR(&out, text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(out.String(), ""), "\n"), "\n")
	halves := map[rune][2]bool{' ': {}, '▀': {true, false}, '▄': {false, true}, '█': {true, true}}
	for y := -quietZone; y < code.Size+quietZone; y++ {
		line := lines[(y+quietZone)/2]
		if got, want := utf8.RuneCountInString(line), code.Size+2*quietZone; got != want {
			t.Fatalf("line %d has %d columns, want %d", (y+quietZone)/2, got, want)
		}
		x := -quietZone
		for _, r := range line {
			if got := halves[r][(y+quietZone)%2]; got != code.Black(x, y) {
				t.Fatalf("module %d, %d is %v", x, y, got)
			}
			x++
		}
	}
}

// An invitation with as many addresses as a node at home has fits a terminal of 80 columns.
func TestInvitationFitsATerminal(t *testing.T) {
	code, err := qr.Encode("CAIRN-INVITE:"+strings.Repeat("AEBABB2M-", 48), qr.L)
	if err != nil {
		t.Fatal(err)
	}
	if columns := code.Size + 2*quietZone; columns > 80 {
		t.Errorf("the code of 445 characters takes %d columns", columns)
	}
}
