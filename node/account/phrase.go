package account

import (
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// Words is how many words a phrase has: 256 random bits and 8 that check them.
	Words       = 24
	entropySize = 32
	wordBits    = 11
	// maxText bounds what is read as a phrase, in bytes.
	maxText = 16 << 10
)

// A Phrase is an account as 24 words (BIP39, English). It prints as a label; Reveal and Words return the words.
type Phrase struct{ entropy [entropySize]byte }

// NewPhrase returns a random phrase.
func NewPhrase() Phrase {
	var p Phrase
	rand.Read(p.entropy[:]) // never fails: crypto/rand ends the program instead
	return p
}

// Words returns the words in order.
func (p Phrase) Words() []string { return encode(p.entropy[:]) }

// Reveal returns the words in one line: whoever has them is this person.
func (p Phrase) Reveal() string { return strings.Join(p.Words(), " ") }

const phraseLabel = "[recovery phrase]"

func (Phrase) String() string       { return phraseLabel }
func (Phrase) GoString() string     { return phraseLabel }
func (Phrase) LogValue() slog.Value { return slog.StringValue(phraseLabel) }

// MarshalText returns the label, so that no encoder writes the words by accident.
func (Phrase) MarshalText() ([]byte, error) { return []byte(phraseLabel), nil }

// ParsePhrase reads a phrase however it was written down: in capitals, with line breaks and any punctuation between the words,
// with a number before each word. Where all 24 words are numbered the numbers give their order, so that columns may be read
// either way. The error is a *PhraseError that says which words are wrong, without repeating them.
func ParsePhrase(text string) (Phrase, error) {
	if len(text) > maxText {
		return Phrase{}, &PhraseError{Problem: strconv.Itoa(len(text)) + " characters are too many"}
	}
	words := split(text)
	indices := make([]int, len(words))
	e := &PhraseError{Count: len(words)}
	for i, word := range words {
		n, ok := slices.BinarySearch(wordList, word)
		if !ok {
			e.Wrong = append(e.Wrong, WrongWord{Position: i + 1, Near: near(word)})
		}
		indices[i] = n
	}
	if len(words) != Words || len(e.Wrong) > 0 {
		return Phrase{}, e
	}
	entropy, ok := decode(indices)
	if !ok {
		e.Suspects = suspects(indices)
		return Phrase{}, e
	}
	return Phrase{entropy: [entropySize]byte(entropy)}, nil
}

// split returns the words of a text, in the order of their numbers where all have one.
func split(text string) []string {
	tokens := strings.FieldsFunc(strings.ToLower(norm.NFKD.String(text)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	var words []string
	order := map[int]string{}
	number := 0
	for _, token := range tokens {
		word := strings.TrimLeftFunc(token, unicode.IsDigit)
		if digits := token[:len(token)-len(word)]; digits != "" {
			number, _ = strconv.Atoi(digits) // what is no number is no place either
		}
		if word == "" {
			continue
		}
		words = append(words, word)
		if number >= 1 && number <= Words {
			order[number] = word
		}
		number = 0
	}
	if len(words) != Words || len(order) != Words {
		return words
	}
	for i := range words {
		words[i] = order[i+1]
	}
	return words
}

// encode returns the words of 16 to 32 bytes of entropy: their bits and the first of their digest's, eleven to a word.
func encode(entropy []byte) []string {
	sum := sha256.Sum256(entropy)
	data := append(slices.Clone(entropy), sum[0])
	words := make([]string, len(entropy)*3/4)
	for i := range words {
		n := 0
		for bit := i * wordBits; bit < (i+1)*wordBits; bit++ {
			n = n<<1 | int(data[bit/8]>>(7-bit%8)&1)
		}
		words[i] = wordList[n]
	}
	return words
}

// decode returns the entropy that the words stand for, false when its digest does not begin as the last bits say.
func decode(indices []int) (entropy []byte, ok bool) {
	data := make([]byte, (len(indices)*wordBits+7)/8)
	for i, n := range indices {
		for b := range wordBits {
			bit := i*wordBits + b
			data[bit/8] |= byte(n>>(wordBits-1-b)&1) << (7 - bit%8)
		}
	}
	size := len(indices) * 4 / 3
	sum := sha256.Sum256(data[:size])
	unused := 8 - size/4 // bits of the last byte that belong to no word
	return data[:size], data[size]>>unused == sum[0]>>unused
}
