package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cairn/node"
	"cairn/node/account"
)

// lockOptions say how to lock.
type lockOptions struct {
	file    string
	keyring bool
}

func (o *lockOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "new-passphrase-file", "", "`FILE` whose first line is the new passphrase, - for standard input (default: ask twice)")
	cmd.Flags().BoolVar(&o.keyring, "keyring", false, "have the system's keyring keep the passphrase, so that nobody has to type it while you are logged in")
}

func newAccountLockCommand(a *app) *cobra.Command {
	o := &lockOptions{}
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "seal the keys of the node with a passphrase",
		Long: help(`Seals the keys in the node's directory with a passphrase: those of the node and of the account, the convergence
secret, the key of the root directory and those of grids that you founded. Whoever copies the directory has nothing
without the passphrase, at least 8 characters that nobody guesses. Shares, roster and settings are not sealed;
shares are encrypted anyway.

From then on the node asks for the passphrase when it starts, on the terminal; or takes it from the file that
--passphrase-file or CAIRN_PASSPHRASE_FILE names, from systemd's credential "cairn-passphrase", or, with --keyring,
from the keyring of your desktop session. A backup of the directory from before still has the keys.

The node must not run. Interrupted at any moment, the keys are locked or are not.`, statusRefused),
		Example: "  cairn account lock\n  cairn account lock --keyring",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runAccountLock(a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runAccountLock(a *app, o *lockOptions) error {
	dir, err := node.OpenDir(a.dir)
	if errors.Is(err, node.ErrLocked) {
		err = node.ErrLockedAlready
	}
	if err != nil {
		return about(err, "lock")
	}
	if err := stopped(a); err != nil {
		return about(err, "lock")
	}
	passphrase, err := a.newPassphrase(o.file)
	if err != nil {
		return err
	}
	if err := dir.Lock(passphrase, o.keyring); err != nil {
		return err
	}
	return a.reportLocked(dir, passphrase, o.keyring, "locked")
}

// stopped says before anybody types a passphrase that the node has to stop first.
func stopped(a *app) error {
	pid, running, err := node.Running(a.dir)
	if err == nil && running {
		err = &node.RunningError{Dir: a.dir, PID: pid}
	}
	return err
}

func (a *app) reportLocked(dir *node.Dir, passphrase string, keyring bool, what string) error {
	kept := false
	if keyring {
		if err := account.ToKeyring(string(dir.ID()), passphrase); err != nil {
			a.note("The system's keyring does not keep the passphrase: %v. The node asks for it instead.", err)
		} else {
			kept = true
		}
	}
	return a.result(map[string]bool{"locked": true, "keyring": kept}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: the keys in %s are sealed with the passphrase\n", what, a.dir)
	})
}

func newAccountUnlockCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "keep the keys of the node without a passphrase again",
		Long: help(`Undoes "cairn account lock": the keys are files that you alone can read, and nothing asks for a passphrase any more.
The node must not run. Interrupted at any moment, the keys are locked or are not.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runAccountUnlock(a) },
	}
}

func runAccountUnlock(a *app) error {
	sealed, err := lockedDir(a)
	if errors.Is(err, node.ErrNotLocked) {
		return withHint(about(err, "unlock"), "nothing is to be done: they are files that you alone can read")
	}
	if err != nil {
		return about(err, "unlock")
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	if err := dir.Unlock(); err != nil {
		return err
	}
	a.forgetKeyring(sealed)
	return a.result(map[string]bool{"locked": false}, func(w io.Writer) {
		fmt.Fprintf(w, "unlocked: the keys in %s are files that you alone can read\n", a.dir)
	})
}

// lockedDir returns what is known of a directory whose keys are locked and whose node does not run.
func lockedDir(a *app) (node.Sealed, error) {
	if !node.Exists(a.dir) {
		return node.Sealed{}, fmt.Errorf("%s: %w", a.dir, node.ErrNoNode)
	}
	sealed, locked, err := node.Locked(a.dir)
	if err == nil && !locked {
		err = node.ErrNotLocked
	}
	if err == nil {
		err = stopped(a)
	}
	return sealed, err
}

func (a *app) forgetKeyring(sealed node.Sealed) {
	if !sealed.Keyring {
		return
	}
	if err := account.ForgetInKeyring(sealed.Node); err != nil {
		a.note("The passphrase may still be in the system's keyring: %v", err)
	}
}

func newAccountChangeCommand(a *app) *cobra.Command {
	o := &lockOptions{}
	cmd := &cobra.Command{
		Use:   "change-passphrase",
		Short: "seal the keys with another passphrase",
		Long: help(`Asks for the passphrase, then for the new one, and seals the keys with that. The node must not run. Interrupted at
any moment, one of the two opens them. A backup of the directory from before opens with the old one.`, statusRefused),
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runAccountChange(a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runAccountChange(a *app, o *lockOptions) error {
	sealed, err := lockedDir(a)
	if err != nil {
		return about(err, "change passphrase")
	}
	dir, err := a.openDir()
	if err != nil {
		return err
	}
	passphrase, err := a.newPassphrase(o.file)
	if err != nil {
		return err
	}
	if err := dir.ChangePassphrase(passphrase, o.keyring); err != nil {
		return err
	}
	if !o.keyring {
		a.forgetKeyring(sealed)
	}
	return a.reportLocked(dir, passphrase, o.keyring, "changed")
}
