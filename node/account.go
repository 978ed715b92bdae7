package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cairn/introducer"
)

// Account returns the account of the person to whom the node belongs. It makes one where there is none yet.
func (d *Dir) Account() (introducer.Account, error) {
	account, err := d.readAccount()
	if !errors.Is(err, fs.ErrNotExist) {
		return account, err
	}
	account = introducer.NewAccount()
	return account, d.writeAccount(account)
}

func (d *Dir) readAccount() (introducer.Account, error) {
	data, err := d.keep.read(accountFile)
	if err != nil {
		return introducer.Account{}, fmt.Errorf("account: %w", err)
	}
	account, err := introducer.ParseAccount(strings.TrimSuffix(string(data), "\n"))
	if err != nil {
		return introducer.Account{}, fmt.Errorf("account: %s: %w; restore it from your backup", d.file(accountFile), err)
	}
	return account, nil
}

func (d *Dir) writeAccount(account introducer.Account) error {
	if err := d.keep.write(accountFile, []byte(account.Reveal()+"\n")); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	return nil
}

// signer returns the strongest key that the node has to sign statements about its grid: the grid's own where the node founded
// it, and the account's otherwise.
func (d *Dir) signer(grid introducer.Descriptor) (introducer.Signer, error) {
	key, err := d.readGridKey(grid.ID())
	if err == nil {
		return introducer.GridSigner(grid, key)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return introducer.Signer{}, err
	}
	account, err := d.Account()
	if err != nil {
		return introducer.Signer{}, err
	}
	return account.Signer(grid), nil
}
