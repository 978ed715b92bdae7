package account

import (
	"cmp"
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Prefixes of the texts that lead to a grid.
const (
	gridPrefix   = "cairn-grid:"
	invitePrefix = "cairn-invite:"
)

// Clues are what a text says that helps to recover an account.
type Clues struct {
	// Grids are grid addresses, Invitations invitations, and Addresses full multiaddrs, as they stand there.
	Grids, Invitations, Addresses []string
	// Phrase is the text of a recovery phrase, which may be wrong; empty where there is none.
	Phrase string
}

// With returns these clues and others behind them, and of phrases the first.
func (c Clues) With(others Clues) Clues {
	return Clues{
		Grids: append(c.Grids, others.Grids...), Invitations: append(c.Invitations, others.Invitations...),
		Addresses: append(c.Addresses, others.Addresses...), Phrase: cmp.Or(c.Phrase, others.Phrase),
	}
}

var numberedWord = regexp.MustCompile(`(\d{1,2})[.)]\s+([\p{L}\p{M}]+)`)

// ReadClues finds in a text what leads to a grid and to a phrase: in a recovery sheet, also one that is a page, in what its square code
// says, or in anything that somebody typed.
func ReadClues(text string) Clues {
	var c Clues
	if isPage.MatchString(text) {
		text = textOf(text)
	}
	var rest []string
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		fields := strings.Fields(lines[i])
		for n, field := range fields {
			switch lower := strings.ToLower(field); {
			case strings.HasPrefix(lower, gridPrefix), strings.HasPrefix(lower, invitePrefix):
				if n == len(fields)-1 { // a long one goes on in the next lines
					for i+1 < len(lines) && continues(lines[i+1]) {
						i++
						lower += strings.ToLower(strings.TrimSpace(lines[i]))
					}
				}
				if strings.HasPrefix(lower, gridPrefix) {
					c.Grids = append(c.Grids, lower)
				} else {
					c.Invitations = append(c.Invitations, lower)
				}
			case strings.HasPrefix(field, "/") && strings.Contains(field, "/p2p/"):
				c.Addresses = append(c.Addresses, field)
			default:
				rest = append(rest, field)
			}
		}
	}
	c.Phrase = findPhrase(strings.Join(rest, " "))
	return c
}

var (
	isPage     = regexp.MustCompile(`(?i)^\s*(<!doctype html|<html)`)
	gridInPage = regexp.MustCompile(`<meta name="` + metaAddress + `" content="([^"]*)">`)
	hidden     = regexp.MustCompile(`(?is)<(style|title|svg)\b.*?</(style|title|svg)>`)
	markup     = regexp.MustCompile(`(?s)<[^>]*>`)
)

// textOf returns what a page says, each piece on a line of its own, the grid's address last.
func textOf(page string) string {
	text := markup.ReplaceAllString(hidden.ReplaceAllString(page, "\n"), "\n")
	if address := gridInPage.FindStringSubmatch(page); address != nil {
		text += "\n" + address[1] + "\n"
	}
	return html.UnescapeString(text)
}

// continues reports whether a line holds nothing but a piece of a text in base32.
func continues(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && !strings.ContainsFunc(line, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '2' || r > '7')
	})
}

// findPhrase returns the words of a text that are numbered from 1 to 24, or all where it has 24 words and nothing else.
func findPhrase(text string) string {
	numbered := make([]string, Words)
	found := 0
	for _, match := range numberedWord.FindAllStringSubmatch(text, -1) {
		if n, err := strconv.Atoi(match[1]); err == nil && n >= 1 && n <= Words && numbered[n-1] == "" {
			numbered[n-1] = match[2]
			found++
		}
	}
	if found == Words {
		return strings.Join(numbered, " ")
	}
	words := strings.Fields(text)
	for _, word := range words {
		if strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
			return ""
		}
	}
	if len(words) < Words/2 {
		return ""
	}
	return text
}
