package account

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"
)

func testSheet(phrase *Phrase) Sheet {
	return Sheet{
		Nickname: "anna", Account: "abcdefgh", Grid: "river <friends>", GridID: "0123456789abcdef",
		Address: gridPrefix + strings.Repeat("abcdefgh234567", 40),
		Members: []Contact{{"bert", "/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWbert"}}, Phrase: phrase, Made: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	}
}

// TestSheetIsReadBack: recovering takes from the sheet, and from its square code, what stands there.
func TestSheetIsReadBack(t *testing.T) {
	phrase := NewPhrase()
	for _, p := range []*Phrase{nil, &phrase} {
		s := testSheet(p)
		page, err := s.HTML()
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"page": string(page), "text": s.Text(), "CRLF": strings.ReplaceAll(s.Text(), "\n", "\r\n"), "code": s.Code()} {
			c := ReadClues(text)
			if !slices.Equal(c.Grids, []string{s.Address}) || len(c.Invitations) > 0 {
				t.Errorf("%s: grids %.80v, invitations %v", name, c.Grids, c.Invitations)
			}
			if name != "code" && !slices.Equal(c.Addresses, []string{s.Members[0].Address}) {
				t.Errorf("%s: addresses %v", name, c.Addresses)
			}
			if p == nil {
				if c.Phrase != "" {
					t.Errorf("%s: a phrase on an empty sheet", name)
				}
				continue
			}
			if got, err := ParsePhrase(c.Phrase); err != nil || got != phrase {
				t.Errorf("%s: another phrase, %v", name, err)
			}
		}
	}
}

func TestCluesInWhatPeopleType(t *testing.T) {
	phrase := NewPhrase()
	c := ReadClues("ask bert: /ip4/1.2.3.4/tcp/4001/p2p/12D3Koo\nor CAIRN-INVITE:AEAQ-\n  bcde-fghi\n\nthanks")
	if !slices.Equal(c.Addresses, []string{"/ip4/1.2.3.4/tcp/4001/p2p/12D3Koo"}) || !slices.Equal(c.Invitations, []string{"cairn-invite:aeaq-bcde-fghi"}) || c.Phrase != "" {
		t.Errorf("%+v", c)
	}
	if c := ReadClues("  " + strings.ToUpper(phrase.Reveal()) + "\n"); c.Phrase == "" || len(c.Grids) > 0 {
		t.Error("a phrase alone is none")
	}
	if c := ReadClues(""); c.Phrase != "" || c.Grids != nil {
		t.Errorf("nothing: %+v", c)
	}
}

// TestSheetPage: the page needs nothing from outside, escapes names, and has the code where there is something to say.
func TestSheetPage(t *testing.T) {
	phrase := NewPhrase()
	page, err := testSheet(&phrase).HTML()
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{"river &lt;friends&gt;", "<svg", "24. " + phrase.Words()[23], "12D3KooWbert", "22 November 2026"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"src=", "href=", "url(", "<script", "@import"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	empty, err := Sheet{}.HTML()
	if err != nil || strings.Contains(string(empty), "<svg") || !strings.Contains(string(empty), "24. ____") {
		t.Errorf("a sheet without anything: %v", err)
	}
	blank, err := testSheet(nil).HTML()
	if err != nil || strings.Contains(string(blank), phrase.Words()[0]+"<") || strings.Contains(testSheet(nil).Text(), phrase.Words()[0]+" ") {
		t.Errorf("the phrase is on a sheet that has none: %v", err)
	}
}

// TestCodeFits: what the longest sheet says fits into a square.
func TestCodeFits(t *testing.T) {
	phrase := NewPhrase()
	s := testSheet(&phrase)
	s.Address = gridPrefix + strings.Repeat("a", 3000)
	code, err := qr.Encode(s.Code(), qr.L)
	if err != nil || code.Size > 177 {
		t.Errorf("%v", err)
	}
	small, err := qr.Encode(testSheet(&phrase).Code(), qr.L)
	if err != nil || small.Size > 101 { // version 21
		t.Errorf("a usual sheet has a code of %d modules, %v", small.Size, err)
	}
}

func FuzzReadClues(f *testing.F) {
	f.Add(testSheet(nil).Text())
	f.Add("cairn-grid:\nabc\n/p2p/ 1. a")
	f.Fuzz(func(t *testing.T, text string) {
		c := ReadClues(text)
		for _, grid := range c.Grids {
			if !strings.HasPrefix(grid, gridPrefix) {
				t.Fatalf("%q", grid)
			}
		}
	})
}
