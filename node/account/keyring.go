package account

import (
	"errors"
	"fmt"

	"github.com/zalando/go-keyring"
)

// keyringService is the name under which the system's keyring lists passphrases.
const keyringService = "cairn"

// FromKeyring returns the passphrase of a node's vault that the system's keyring keeps, false where it has none. The error says that
// there is no keyring that answers: on a server there is none, and under Linux it is one of the desktop session.
func FromKeyring(node string) (string, bool, error) {
	passphrase, err := keyring.Get(keyringService, node)
	if errors.Is(err, keyring.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("no keyring: %w", err)
	}
	return passphrase, true, nil
}

// ToKeyring has the system's keyring keep the passphrase of a node's vault.
func ToKeyring(node, passphrase string) error {
	if err := keyring.Set(keyringService, node, passphrase); err != nil {
		return fmt.Errorf("no keyring: %w", err)
	}
	return nil
}

// ForgetInKeyring removes the passphrase from the system's keyring, if it is there.
func ForgetInKeyring(node string) error {
	if err := keyring.Delete(keyringService, node); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("no keyring: %w", err)
	}
	return nil
}
