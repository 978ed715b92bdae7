package account

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cairn/internal/spelling"
)

// english is BIP39's list of English words, as it was published.
//
//go:embed english.txt
var english string

var wordList = strings.Fields(english)

const (
	// maxNear is how many words are suggested for one, nearEnough how many letters they may differ in.
	maxNear    = 3
	nearEnough = 2
	// maxSuspects is how many places are named where the words do not fit together.
	maxSuspects = 4
)

// ErrPhrase says that a text is not a recovery phrase.
var ErrPhrase = errors.New("not a recovery phrase")

// A PhraseError says what is wrong with a phrase. It never contains the words that were typed. It wraps ErrPhrase.
type PhraseError struct {
	// Problem is set where the text has no words to speak of.
	Problem string
	// Count is how many words there were.
	Count int
	// Wrong are the words that are not in the list.
	Wrong []WrongWord
	// Suspects are the positions, counted from 1, of words that would fit if they were a similar word, or changed places with
	// the next one. It is set where all words are in the list and do not fit together, and may be empty then too.
	Suspects []int
}

// A WrongWord is a word that is not in the list.
type WrongWord struct {
	Position int // counted from 1
	// Near are the words of the list that it may be.
	Near []string
}

func (e *PhraseError) Error() string {
	var problems []string
	switch {
	case e.Problem != "":
		problems = append(problems, e.Problem)
	case e.Count != Words:
		problems = append(problems, fmt.Sprintf("it has %d words instead of %d", e.Count, Words))
	}
	for i, w := range e.Wrong {
		if i == maxSuspects {
			problems = append(problems, fmt.Sprintf("and %d more", len(e.Wrong)-i))
			break
		}
		problems = append(problems, fmt.Sprintf("word %d is not in the list", w.Position))
	}
	if len(problems) == 0 {
		problems = append(problems, "all its words are in the list, but they do not belong together: one is another word, or two changed places")
	}
	return fmt.Sprintf("%v: %s", ErrPhrase, strings.Join(problems, ", "))
}

// Unwrap returns ErrPhrase.
func (e *PhraseError) Unwrap() error { return ErrPhrase }

// Hint says what to look at, or nothing. Of the words it names only such that were not typed.
func (e *PhraseError) Hint() string {
	var hints []string
	for _, w := range e.Wrong {
		if len(w.Near) > 0 && len(hints) < maxSuspects {
			hints = append(hints, fmt.Sprintf("word %d may be %s", w.Position, strings.Join(w.Near, " or ")))
		}
	}
	if len(e.Suspects) > 0 {
		text := fmt.Sprint(e.Suspects[0])
		for _, at := range e.Suspects[1:] {
			text += fmt.Sprintf(" or %d", at)
		}
		hints = append(hints, "look first at word "+text+", which has a similar word or could change places with the next one")
	} else if len(e.Wrong) == 0 && e.Count == Words {
		hints = append(hints, "compare each word with what is written down")
	}
	return strings.Join(hints, "; ")
}

// near returns the words of the list that a word may have been, the likeliest first.
func near(word string) []string {
	type candidate struct {
		word     string
		distance int
	}
	var found []candidate
	for _, other := range wordList {
		d := spelling.Distance(word, other)
		if len(word) >= 3 && strings.HasPrefix(other, word) {
			d = 0 // cut off
		}
		if d <= min(nearEnough, len(other)-2) {
			found = append(found, candidate{other, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.distance - b.distance })
	var words []string
	for _, c := range found[:min(len(found), maxNear)] {
		words = append(words, c.word)
	}
	return words
}

// suspects returns where a similar word, or another order of two, makes the words fit.
func suspects(indices []int) []int {
	var at []int
	try := slices.Clone(indices)
	for i, n := range indices {
		fits := false
		for other, word := range wordList {
			if other != n && spelling.Distance(word, wordList[n]) == 1 {
				try[i] = other
				_, ok := decode(try)
				fits = fits || ok
			}
		}
		try[i] = n
		if i+1 < len(try) && try[i] != try[i+1] {
			try[i], try[i+1] = try[i+1], try[i]
			_, ok := decode(try)
			fits = fits || ok
			try[i], try[i+1] = try[i+1], try[i]
		}
		if fits && len(at) < maxSuspects {
			at = append(at, i+1)
		}
	}
	return at
}
