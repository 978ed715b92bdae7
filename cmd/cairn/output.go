package main

import (
	"io"
	"strconv"
	"strings"
	"unicode"
)

// A firstFailure writes until a write fails, and keeps the error for those who print without looking.
type firstFailure struct {
	w   io.Writer
	err error
}

func (f *firstFailure) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.w.Write(p)
	f.err = err
	return n, err
}

// visible returns a text that another person chose with everything escaped that does not print, or that changes how the rest shows.
func visible(text string) string { return escaped(text, "") }

// visibleLines is visible for what may have several lines, and columns.
func visibleLines(text string) string { return escaped(text, "\n\t") }

func escaped(text, but string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) || strings.ContainsRune(but, r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
