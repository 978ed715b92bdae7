package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/pflag"

	"cairn/node"
	"cairn/node/account"
)

const (
	// phraseTries is how often a phrase may be typed on a terminal.
	phraseTries = 3
	maxClues    = 256 << 10
)

// phraseOptions say where a recovery phrase comes from. It is never an argument: those are in the shell's history, and others on
// the machine see them.
type phraseOptions struct{ file string }

func (o *phraseOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.file, "phrase-file", "", "`FILE` with the recovery phrase, - for standard input (default: ask on the terminal)")
}

// phrase reads a recovery phrase from the file, or asks for it.
func (a *app) phrase(o phraseOptions) (account.Phrase, error) {
	if o.file != "" {
		text, err := a.readText(o.file, maxClues)
		if err != nil {
			return account.Phrase{}, about(err, "recovery phrase: %s", o.file)
		}
		if clues := account.ReadClues(text); clues.Phrase != "" {
			text = clues.Phrase
		}
		p, err := account.ParsePhrase(text)
		return p, explainPhrase(err)
	}
	for try := 1; ; try++ {
		text, err := a.askSecret(fmt.Sprintf("Recovery phrase (%d words, not shown): ", account.Words))
		if errors.Is(err, errNoTerminal) {
			return account.Phrase{}, withHint(usagef("recovery phrase: %w", err), "name a file that holds it with --phrase-file, - for standard input")
		}
		if err != nil {
			return account.Phrase{}, err
		}
		p, err := account.ParsePhrase(text)
		if err == nil || try == phraseTries {
			return p, explainPhrase(err)
		}
		a.report(explainPhrase(err))
	}
}

// explainPhrase adds what to look at to what is wrong with a phrase.
func explainPhrase(err error) error {
	if e, ok := errors.AsType[*account.PhraseError](err); ok && e.Hint() != "" {
		return withHint(err, "%s", e.Hint())
	}
	return err
}

// printPhrase prints the words with their numbers.
func printPhrase(w io.Writer, p account.Phrase) {
	const columns = 4
	words := p.Words()
	rows := len(words) / columns
	for row := range rows {
		var b strings.Builder
		for column := range columns {
			n := column*rows + row
			fmt.Fprintf(&b, "  %2d. %-10s", n+1, words[n])
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// showPhrase shows the phrase of a node that was made with a new one, once, on standard error: it is no result that somebody
// would keep in a file by accident. With -q it stays in the directory until "account phrase"; with --json it is part of the result.
func (a *app) showPhrase(dir *node.Dir) error {
	if a.quiet || a.json {
		return nil
	}
	phrase, err := dir.Phrase()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.note("\nYour recovery phrase. It is shown this once and kept nowhere: write it down, on paper.\n")
	printPhrase(a.err, phrase)
	a.note("\nWith these words and any member of your grid, \"cairn recover\" brings everything back on a new machine. Whoever\n"+
		"else has them is you. Check what you wrote with \"%s\".\n", a.command("account check"))
	return dir.ForgetPhrase()
}

// takePhrase returns the words of a phrase that nobody has seen yet, for a program, which has seen it then.
func (a *app) takePhrase(dir *node.Dir) (string, error) {
	if !a.json {
		return "", nil
	}
	phrase, err := dir.Phrase()
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return phrase.Reveal(), nil
}
