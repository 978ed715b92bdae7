package account

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"cairn/internal/spelling"
)

// TestWordList: the list is the one that was published, sorted, and its words differ in their first four letters.
func TestWordList(t *testing.T) {
	const published = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
	if sum := sha256.Sum256([]byte(english)); hex.EncodeToString(sum[:]) != published {
		t.Errorf("the list has the digest %x", sum)
	}
	if len(wordList) != 2048 || !slices.IsSorted(wordList) {
		t.Errorf("%d words, sorted: %t", len(wordList), slices.IsSorted(wordList))
	}
	short := map[string]bool{}
	for _, word := range wordList {
		short[word[:min(4, len(word))]] = true
	}
	if len(short) != len(wordList) {
		t.Errorf("%d of %d words differ in their first letters", len(short), len(wordList))
	}
}

// TestPublishedVectors are those of the list's authors, of 12, 18 and 24 words.
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/trezor.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Entropy, Phrase string }
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	long := 0
	for _, v := range vectors {
		entropy, err := hex.DecodeString(v.Entropy)
		if err != nil {
			t.Fatal(err)
		}
		words := encode(entropy)
		if got := strings.Join(words, " "); got != v.Phrase {
			t.Errorf("%s: got %s, want %s", v.Entropy, got, v.Phrase)
		}
		indices := make([]int, len(words))
		for i, word := range words {
			indices[i] = slices.Index(wordList, word)
		}
		if back, ok := decode(indices); !ok || !slices.Equal(back, entropy) {
			t.Errorf("%s: decoded %x, %t", v.Entropy, back, ok)
		}
		p, err := ParsePhrase(v.Phrase)
		if len(words) == Words {
			long++
			if err != nil || !slices.Equal(p.entropy[:], entropy) || p.Reveal() != v.Phrase {
				t.Errorf("%s: parsed as another phrase, %v", v.Entropy, err)
			}
		} else if err == nil {
			t.Errorf("a phrase of %d words was taken", len(words))
		}
	}
	if len(vectors) != 24 || long != 8 {
		t.Errorf("%d vectors, %d of 24 words", len(vectors), long)
	}
}

// TestSloppyInput: the same words in every way in which people write them down.
func TestSloppyInput(t *testing.T) {
	p := NewPhrase()
	words := p.Words()
	numbered, columns, boxed := "", "", ""
	for i, word := range words {
		numbered += fmt.Sprintf("%d. %s\n", i+1, word)
		boxed += fmt.Sprintf(" %2d)%s |", i+1, word)
	}
	for i := range Words / 3 { // read across, numbered downwards
		for c := range 3 {
			n := c*Words/3 + i
			columns += fmt.Sprintf("%2d %-10s", n+1, words[n])
		}
		columns += "\n"
	}
	full := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'ａ' // the wide letters of East Asian keyboards
		}
		return r
	}, p.Reveal())
	for name, text := range map[string]string{
		"plain": p.Reveal(), "capitals": strings.ToUpper(p.Reveal()), "title": strings.Title(p.Reveal()), //nolint:staticcheck // ASCII words
		"spaces": "  " + strings.Join(words, " \t  ") + " \r\n", "lines": strings.Join(words, "\r\n"), "commas": strings.Join(words, ", "),
		"numbered": numbered, "columns": columns, "boxed": boxed, "wide": full, "hard spaces": strings.Join(words, "\u00a0"),
	} {
		if got, err := ParsePhrase(text); err != nil || got != p {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrongPhrases says which word is wrong, and what it may be.
func TestWrongPhrases(t *testing.T) {
	const last = "abandon math mimic master filter design carbon crystal rookie group knife wrap absurd much snack melt grid rib chapter actor siege knock exclude toy"
	good := strings.Fields("dignity pass list indicate nasty swamp pool script soccer toe leaf photo multiply desk host tomato cradle drill spread actor shine dismiss champion exotic")
	if _, err := ParsePhrase(strings.Join(good, " ")); err != nil {
		t.Fatal(err)
	}
	change := func(edit func(w []string) []string) string { return strings.Join(edit(slices.Clone(good)), " ") }
	for name, c := range map[string]struct{ text, problem, hint string }{
		"nothing":      {"", "it has 0 words instead of 24", ""},
		"one missing":  {change(func(w []string) []string { return w[1:] }), "it has 23 words instead of 24", ""},
		"one more":     {change(func(w []string) []string { return append(w, "zoo") }), "it has 25 words instead of 24", ""},
		"misspelt":     {change(func(w []string) []string { w[2] = "lits"; return w }), "word 3 is not in the list", "word 3 may be list"},
		"a letter off": {change(func(w []string) []string { w[6] = "pooll"; return w }), "word 7 is not in the list", "word 7 may be pool"},
		"cut off":      {change(func(w []string) []string { w[12] = "multi"; return w }), "word 13 is not in the list", "word 13 may be multiply"},
		"two wrong": {
			change(func(w []string) []string { w[0], w[23] = "qqqqqq", "exotik"; return w }),
			"word 1 is not in the list, word 24 is not in the list", "word 24 may be exotic",
		},
		"an accent":     {change(func(w []string) []string { w[3] = "índicate"; return w }), "word 4 is not in the list", "word 4 may be indicate"},
		"similar":       {change(func(w []string) []string { w[18] = "zebra"; return w }), "do not belong together", "compare each word"},
		"swapped":       {change(func(w []string) []string { w[4], w[5] = w[5], w[4]; return w }), "do not belong together", "look first at word 5"},
		"another check": {last, "do not belong together", ""},
		"too long":      {strings.Repeat("zoo ", maxText), "characters are too many", ""},
	} {
		_, err := ParsePhrase(c.text)
		e, ok := errors.AsType[*PhraseError](err)
		if !ok || !errors.Is(err, ErrPhrase) || !strings.Contains(err.Error(), c.problem) || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: %v; hint %q", name, err, e.Hint())
			continue
		}
		for _, word := range strings.Fields(c.text) {
			if len(word) > 4 && strings.Contains(err.Error(), word) && !strings.Contains("words", word) {
				t.Errorf("%s: the error repeats a word: %v", name, err)
			}
		}
	}
}

// TestSuspects: a word replaced by a similar one is found, whichever it is.
func TestSuspects(t *testing.T) {
	for range 5 {
		p := NewPhrase()
		words := p.Words()
		for i, word := range words {
			n := slices.IndexFunc(wordList, func(other string) bool { return spelling.Distance(word, other) == 1 })
			if n < 0 {
				continue
			}
			wrong := slices.Clone(words)
			wrong[i] = wordList[n]
			_, err := ParsePhrase(strings.Join(wrong, " "))
			if err == nil {
				continue // one in 256 fits by chance
			}
			e, _ := errors.AsType[*PhraseError](err)
			if !slices.Contains(e.Suspects, i+1) && len(e.Suspects) < maxSuspects {
				t.Fatalf("word %d is wrong, suspected are %v", i+1, e.Suspects)
			}
		}
	}
}

// TestSecretsPrintAsLabels in every way in which Go prints.
func TestSecretsPrintAsLabels(t *testing.T) {
	p := NewPhrase()
	s := p.Secrets()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "phrase", p, "secrets", s, "record", s.Record, "founder", s.Founder)
	text, err := json.Marshal([]any{p, map[string]any{"phrase": p}})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(text)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		all += fmt.Sprintf(format, p) + fmt.Sprintf(format, s) + fmt.Sprintf(format, s.Record) + fmt.Sprintf(format, s.Founder)
	}
	words := p.Words()
	for _, leak := range []string{
		words[0] + " " + words[1], hex.EncodeToString(p.entropy[:4]), hex.EncodeToString(s.Record[:4]), hex.EncodeToString(s.Founder[:4]),
		fmt.Sprintf("%d", p.entropy[:4]), fmt.Sprintf("%d", s.Root[:4]), s.Account.Reveal(),
	} {
		if strings.Contains(all, strings.Trim(leak, "[]")) {
			t.Errorf("a secret is printed")
		}
	}
}

func FuzzParsePhrase(f *testing.F) {
	f.Add(strings.Repeat("abandon ", 23) + "art")
	f.Add("1. zoo 2) zoo")
	f.Add("\u0301é１２ zoo")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePhrase(text)
		if err != nil {
			e, ok := errors.AsType[*PhraseError](err)
			if !ok || err.Error() == "" {
				t.Fatalf("%v", err)
			}
			_ = e.Hint()
			return
		}
		if again, err := ParsePhrase(p.Reveal()); err != nil || again != p {
			t.Fatalf("another phrase: %v", err)
		}
	})
}
