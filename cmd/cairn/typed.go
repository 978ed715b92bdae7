package main

import "strings"

// typed returns words as a person types them in a shell.
func typed(words ...string) string {
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = quotedWord(word)
	}
	return strings.Join(out, " ")
}

// plain are the characters, beside letters and digits, that mean nothing to a shell.
const plain = "-_./:@%+,="

func quotedWord(word string) string {
	special := func(r rune) bool {
		return r < 0x80 && !strings.ContainsRune(plain, r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
