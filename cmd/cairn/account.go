package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/account"
)

func newAccountCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "the keys that are you: recovery sheet, phrase, passphrase",
		Long: help(`The account is what makes you the person that you are on a grid: a few keys that follow from the 24 words of the
recovery phrase. "cairn recover" brings them back on a new machine.`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAccountShowCommand(a), newAccountPhraseCommand(a), newAccountCheckCommand(a), newAccountSheetCommand(a),
		newAccountLockCommand(a), newAccountUnlockCommand(a), newAccountChangeCommand(a))
	return cmd
}

// shownAccount is what "account show" prints.
type shownAccount struct {
	Account string `json:"account"`
	Node    string `json:"node"`
	Dir     string `json:"dir"`
	// Phrase says whether the keys follow from a recovery phrase, Unseen whether nobody has seen it yet.
	Phrase  bool `json:"phrase"`
	Unseen  bool `json:"unseen"`
	Locked  bool `json:"locked"`
	Keyring bool `json:"keyring"`
}

func newAccountShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "show whose keys these are, and how they are kept",
		Long:  help(`Shows the public key of the account, whether it has a recovery phrase, and whether the keys are locked.`, statusRefused),
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return runAccountShow(a) },
	}
}

func runAccountShow(a *app) error {
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	self, err := dir.Account()
	if err != nil {
		return err
	}
	s := shownAccount{Account: self.Key().String(), Node: string(dir.ID()), Dir: a.dir, Locked: dir.Locked()}
	if s.Phrase, err = dir.HasPhrase(); err != nil {
		return err
	}
	if _, err := dir.Phrase(); !errors.Is(err, fs.ErrNotExist) {
		s.Unseen = true
	}
	if sealed, _, err := node.Locked(a.dir); err == nil {
		s.Keyring = sealed.Keyring
	}
	err = a.result(s, func(w io.Writer) {
		keys := "readable by you alone; a passphrase seals them: " + a.command("account lock")
		switch {
		case s.Keyring:
			keys = "locked with a passphrase, which the system's keyring keeps"
		case s.Locked:
			keys = "locked with a passphrase"
		}
		phrase := "24 words, on paper"
		switch {
		case s.Unseen:
			phrase = fmt.Sprintf("not shown yet: \"%s\"", a.command("account phrase"))
		case !s.Phrase:
			phrase = "none: this account is older than phrases, its keys are in the directory alone"
		}
		fmt.Fprintf(w, "account   %s\nnode      %s\ndirectory %s\nkeys      %s\nphrase    %s\n", s.Account, s.Node, s.Dir, keys, phrase)
	})
	return err
}

func newAccountPhraseCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "phrase",
		Short: "show the recovery phrase of a new node, once",
		Long: help(`Shows the recovery phrase of a node that was made quietly ("cairn init -q"). It is shown once: afterwards it is on
your paper and nowhere else.`, statusNotFound, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runAccountPhrase(a) },
	}
}

// errNoPhrase is a missingError.
var errNoPhrase error = missingError("recovery phrase: it was shown once already, and is kept nowhere")

func runAccountPhrase(a *app) error {
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	phrase, err := dir.Phrase()
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(errNoPhrase,
			"check the one that you wrote down with \"%s\"", a.command("account check"))
	}
	if err != nil {
		return err
	}
	err = a.result(map[string]string{"phrase": phrase.Reveal()}, func(w io.Writer) { printPhrase(w, phrase) })
	if err != nil {
		return err
	}
	a.note("Write it down, on paper: it is kept nowhere from now on.")
	return dir.ForgetPhrase()
}

func newAccountCheckCommand(a *app) *cobra.Command {
	o := phraseOptions{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check that a phrase that you wrote down is the right one",
		Long: help(`Compares a recovery phrase with the account of this node. The phrase is typed without being shown, or comes from a
file; capitals, line breaks and numbers before the words do not matter.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.openDir()
			if err != nil {
				return err
			}
			phrase, err := a.phrase(o)
			if err != nil {
				return err
			}
			if err := matches(dir, phrase); err != nil {
				return err
			}
			return a.result(map[string]bool{"right": true}, func(w io.Writer) { fmt.Fprintln(w, "this is the phrase of this account") })
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// errOtherPhrase says that a phrase is whole, but not that of the account.
var errOtherPhrase = errors.New("this is a recovery phrase, but of another account")

func matches(dir *node.Dir, phrase account.Phrase) error {
	self, err := dir.Account()
	if err == nil && self != phrase.Secrets().Account {
		err = errOtherPhrase
	}
	return err
}
