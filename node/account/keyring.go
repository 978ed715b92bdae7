package account

import (
	"errors"
	"fmt"
	"time"

	"github.com/zalando/go-keyring"

	"cairn/internal/awake"
)

// keyringService is the name under which the system's keyring lists passphrases.
const keyringService = "cairn"

// keyringWithin is how long the keyring may take, for instance because it asks for a password of its own.
const keyringWithin = 10 * time.Second

var errKeyringHangs = fmt.Errorf("it has not answered within %v; where it asks for a password, give it and try again", keyringWithin)

// FromKeyring returns the passphrase of a node's vault that the system's keyring keeps, false where it has none. The error says that
// there is no keyring that answers within ten seconds: on a server there is none, and under Linux it is one of the desktop session.
func FromKeyring(node string) (string, bool, error) {
	passphrase, err := inTime(keyringWithin, func() (string, error) { return keyring.Get(keyringService, node) })
	if errors.Is(err, keyring.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("no keyring: %w", err)
	}
	return passphrase, true, nil
}

// inTime asks the keyring. A question that it does not answer cannot be taken back: what waits for the answer ends with the program.
func inTime(within time.Duration, ask func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := ask()
		answers <- answer{text, err}
	}()
	limit := awake.NewTimer(within)
	defer limit.Stop()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-limit.C:
		return "", errKeyringHangs
	}
}

func doneInTime(do func() error) error {
	_, err := inTime(keyringWithin, func() (string, error) { return "", do() })
	return err
}

// ToKeyring has the system's keyring keep the passphrase of a node's vault.
func ToKeyring(node, passphrase string) error {
	if err := doneInTime(func() error { return keyring.Set(keyringService, node, passphrase) }); err != nil {
		return fmt.Errorf("no keyring: %w", err)
	}
	return nil
}

// ForgetInKeyring removes the passphrase from the system's keyring, if it is there.
func ForgetInKeyring(node string) error {
	if err := doneInTime(func() error { return keyring.Delete(keyringService, node) }); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("no keyring: %w", err)
	}
	return nil
}
