package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"cairn/node"
	"cairn/node/account"
)

const (
	passphraseVariable = "CAIRN_PASSPHRASE_FILE"
	// credentialsVariable and passphraseCredential are how systemd hands a passphrase to a service (LoadCredential=).
	credentialsVariable  = "CREDENTIALS_DIRECTORY"
	passphraseCredential = "cairn-passphrase"
	maxPassphrase        = 4 << 10
)

// What the system's keyring was good for.
const (
	keyringUnasked = iota
	keyringUsed
	keyringOutdated // it has a passphrase that opens nothing
)

// openDir opens the node's directory, with the passphrase where it is locked.
func (a *app) openDir() (*node.Dir, error) {
	dir, err := node.OpenDirWith(a.dir, a.unlock)
	if errors.Is(err, account.ErrPassphrase) && a.keyring == keyringUsed {
		// It was changed where this keyring was not, or the program died before it told the keyring.
		a.note("The passphrase in the system's keyring is not the one of these keys; \"%s\" replaces it.", a.command("account change-passphrase --keyring"))
		a.keyring, a.passphrase = keyringOutdated, ""
		dir, err = node.OpenDirWith(a.dir, a.unlock)
	}
	return dir, a.passphraseHint(err)
}

// passphraseHint says what to do about keys that stay locked.
func (a *app) passphraseHint(err error) error {
	switch {
	case errors.Is(err, account.ErrPassphrase):
		return withHint(err, "try again; the recovery phrase makes a new node of the same person where it is forgotten: \"%s\"", a.command("recover --help"))
	case errors.Is(err, node.ErrLocked):
		if _, hinted := errors.AsType[*hinted](err); !hinted {
			return withHint(err, "run it on a terminal, or name a file with the passphrase with --passphrase-file or %s", passphraseVariable)
		}
	}
	return err
}

// unlock finds the passphrase of a locked directory: in a file, in the service manager's credentials, in the system's keyring
// where the person wanted that, or by asking.
func (a *app) unlock(s node.Sealed) (string, error) {
	if a.passphrase != "" {
		return a.passphrase, nil
	}
	passphrase, err := a.givenPassphrase()
	if err == nil && passphrase == "" && s.Keyring && a.keyring != keyringOutdated {
		var found bool
		if passphrase, found, err = account.FromKeyring(s.Node); err != nil {
			a.note("The passphrase is not taken from the system's keyring: %v", err)
		} else if !found {
			a.note("The system's keyring does not have the passphrase of this node.")
		} else {
			a.keyring = keyringUsed
		}
		err = nil
	}
	if err == nil && passphrase == "" {
		passphrase, err = a.askSecret(fmt.Sprintf("Passphrase for the keys in %s: ", s.Path))
		if errors.Is(err, errNoTerminal) {
			return "", fmt.Errorf("%s: %w", s.Path, node.ErrLocked)
		}
	}
	a.passphrase = passphrase
	return passphrase, err
}

// checkedPassphrase returns the passphrase of a directory that is locked, after opening it, and nothing for any other.
func (a *app) checkedPassphrase() (string, error) {
	if _, locked, err := node.Locked(a.dir); err != nil || !locked {
		return "", err
	}
	if _, err := a.openDir(); err != nil {
		return "", err
	}
	return a.passphrase, nil
}

// givenPassphrase returns the passphrase that a file holds, nothing where none is named.
func (a *app) givenPassphrase() (string, error) {
	path := a.passphraseFile
	if path == "" {
		path = os.Getenv(passphraseVariable)
	}
	if dir := os.Getenv(credentialsVariable); path == "" && dir != "" {
		credential := filepath.Join(dir, passphraseCredential)
		if _, err := os.Stat(credential); err == nil || !errors.Is(err, fs.ErrNotExist) {
			path = credential
		}
	}
	if path == "" {
		return "", nil
	}
	text, err := a.readSecretFile(path)
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	return text, about(err, "passphrase: %s", path)
}

// readSecretFile reads the first line of a file, or of standard input for "-".
func (a *app) readSecretFile(path string) (string, error) {
	text, err := a.readText(path, maxPassphrase)
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), err
}

// readText reads a file, or standard input for "-".
func (a *app) readText(path string, limit int64) (string, error) {
	in := io.Reader(a.in)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, limit))
	return string(data), err
}

var errNoTerminal = errors.New("there is no terminal to ask on")

// askSecret asks a person for a line that is not shown.
func (a *app) askSecret(question string) (string, error) {
	if a.in == nil || !term.IsTerminal(int(a.in.Fd())) {
		return "", errNoTerminal
	}
	fmt.Fprint(a.err, question)
	line, err := term.ReadPassword(int(a.in.Fd()))
	fmt.Fprintln(a.err)
	return string(line), err
}

// newPassphrase returns the passphrase to lock with: of a file, or asked for twice.
func (a *app) newPassphrase(path string) (string, error) {
	if path != "" {
		text, err := a.readSecretFile(path)
		return text, about(err, "passphrase: %s", path)
	}
	first, err := a.askSecret("New passphrase: ")
	if errors.Is(err, errNoTerminal) {
		return "", withHint(usagef("a new passphrase: %w", err), "name a file that holds it with --new-passphrase-file, - is standard input")
	}
	if err != nil {
		return "", err
	}
	if len([]rune(first)) < account.MinPassphrase {
		return "", account.ErrWeak
	}
	again, err := a.askSecret("The same again: ")
	if err == nil && again != first {
		err = errors.New("the two passphrases are not the same; nothing was changed")
	}
	return first, err
}
