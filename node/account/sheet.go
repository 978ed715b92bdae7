package account

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Sheet is what to print and put where papers are kept. Whoever finds it with the phrase on it is this person.
type Sheet struct {
	// Nickname and Account are how the grid knows the person.
	Nickname, Account string
	// Grid and GridID name the grid, empty where there is none yet.
	Grid, GridID string
	// Address is a grid's address, as text, with members to ask.
	Address string
	// Members are some of them with an address each, for people.
	Members []Contact
	// Phrase is printed where it is given; otherwise there are lines to write it on.
	Phrase *Phrase
	Made   time.Time
}

// A Contact is a node that may let the person back in.
type Contact struct{ Name, Address string }

const (
	wrapAt  = 72
	columns = 3
)

// Text returns the sheet as plain text.
func (s Sheet) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CAIRN RECOVERY SHEET\n\nmade on      %s\n", s.Made.Format("2 January 2006"))
	for _, line := range [][2]string{{"nickname", s.Nickname}, {"account", s.Account}, {"grid", s.Grid}, {"grid id", s.GridID}} {
		fmt.Fprintf(&b, "%-12s %s\n", line[0], orBlank(line[1]))
	}
	b.WriteString("\nThe 24 words below are the account: whoever has them can read, change and delete everything in it.\n")
	b.WriteString("Keep this sheet where you keep your passport, and a second one in another house.\n\n")
	b.WriteString("RECOVERY PHRASE\n\n")
	words := s.words()
	for row := range Words / columns {
		for column := range columns {
			n := column*Words/columns + row
			fmt.Fprintf(&b, "  %2d. %-18s", n+1, words[n])
		}
		b.WriteString("\n")
	}
	b.WriteString("\nON A NEW MACHINE\n\n  cairn recover --sheet FILE      with this sheet as a file, or with what its square code says\n")
	b.WriteString("  cairn recover ADDRESS           with the address of any member that runs, for instance of these:\n\n")
	if len(s.Members) == 0 {
		b.WriteString("    (none was known; ask a friend)\n")
	}
	for _, m := range s.Members {
		fmt.Fprintf(&b, "    %s\n      %s\n", m.Name, m.Address)
	}
	b.WriteString("\nIf none of them answers, ask any member of the grid for an invitation: \"cairn recover INVITATION\" takes the\naddress from it, and leaves the invitation to somebody else.\n")
	if s.Address != "" {
		b.WriteString("\nGRID ADDRESS\n\n")
		for rest := s.Address; rest != ""; {
			n := min(wrapAt, len(rest))
			fmt.Fprintf(&b, "  %s\n", rest[:n])
			rest = rest[n:]
		}
	}
	return b.String()
}

func orBlank(text string) string {
	if text == "" {
		return "________________________________"
	}
	return text
}

// words returns what stands behind each number.
func (s Sheet) words() []string {
	if s.Phrase == nil {
		return slices.Repeat([]string{"______________"}, Words)
	}
	return s.Phrase.Words()
}

// Code returns what the sheet's square code says: the grid's address, and the phrase where the sheet has it. It is in capitals,
// which take less room in such a code.
func (s Sheet) Code() string {
	var parts []string
	if s.Address != "" {
		parts = append(parts, s.Address)
	}
	if s.Phrase != nil {
		parts = append(parts, s.Phrase.Reveal())
	}
	return strings.ToUpper(strings.Join(parts, " "))
}
