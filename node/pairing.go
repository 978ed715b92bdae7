package node

import (
	"errors"
	"fmt"
	"io/fs"

	"cairn/introducer"
	"cairn/node/account"
	"cairn/share"
	"cairn/share/keys"
)

// kitVersion is the first byte of what a paired device gets beside the account's key: docs/formats.md, "A paired device".
const kitVersion = 1

const (
	kitSize      = 1 + len(keys.ConvergenceSecret{}) + keys.Size
	kitSizeWhole = kitSize + len(account.RecordKey{})
)

// An Owner is the person to whom a paired device belongs.
type Owner struct {
	Account introducer.Account
	// Shared says whether the other device gave what follows; those of earlier versions do not.
	Shared      bool
	Convergence keys.ConvergenceSecret
	Root        keys.WriteKey
	// Record is zero where the account has no phrase.
	Record account.RecordKey
}

// kit returns what a device gets that is paired with this one. The key that founds grids is not in it.
func (d *Dir) kit() ([]byte, error) {
	root, err := d.RootKey()
	if err != nil {
		return nil, err
	}
	kit := append(append([]byte{kitVersion}, d.secret[:]...), root[:]...)
	record, err := d.RecordKey()
	if errors.Is(err, fs.ErrNotExist) {
		return kit, nil
	}
	return append(kit, record[:]...), err
}

// ownerOf reads what another device gave this one.
func ownerOf(person introducer.Account, kit []byte) (Owner, error) {
	o := Owner{Account: person}
	if len(kit) == 0 {
		return o, nil
	}
	if kit[0] != kitVersion {
		return o, fmt.Errorf("what the other device gave: version %d: %w", kit[0], share.ErrVersion)
	}
	if len(kit) != kitSize && len(kit) != kitSizeWhole {
		return o, fmt.Errorf("what the other device gave: %w: %d bytes", share.ErrCorrupt, len(kit))
	}
	o.Shared = true
	rest := kit[1+copy(o.Convergence[:], kit[1:]):]
	copy(o.Record[:], rest[copy(o.Root[:], rest):])
	return o, nil
}

// belongTo makes the directory one of a person who has other devices. What followed from a phrase of its own goes.
func (d *Dir) belongTo(o Owner) error {
	if err := errors.Join(d.keep.remove(recordFile), d.keep.remove(founderFile), d.keep.remove(phraseFile)); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	if err := d.writeAccount(o.Account); err != nil || !o.Shared {
		return err
	}
	if err := d.writeSecret(convergenceFile, convergencePrefix, o.Convergence[:]); err != nil {
		return err
	}
	if err := d.writeSecret(homeFile, homePrefix, o.Root[:]); err != nil {
		return err
	}
	d.secret = o.Convergence
	if o.Record == (account.RecordKey{}) {
		return nil
	}
	return d.writeSecret(recordFile, recordPrefix, o.Record[:])
}
