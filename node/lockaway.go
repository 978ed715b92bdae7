package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"cairn/node/account"
	"cairn/share"
)

// Errors about locking the keys of a directory.
var (
	// ErrLockedAlready says that the keys are locked.
	ErrLockedAlready = errors.New("the keys of this node are locked already")
	// ErrNotLocked says that the keys are not locked.
	ErrNotLocked = errors.New("the keys of this node are not locked")
)

// Sealed describes the vault of a directory to who asks for its passphrase.
type Sealed struct {
	Path string
	account.Header
}

// An Unlock returns the passphrase of a vault. It is not called for directories that are not locked.
type Unlock func(Sealed) (passphrase string, err error)

// Locked returns what the vault of a directory says to everybody, false where the directory is not locked.
func Locked(path string) (Sealed, bool, error) {
	data, err := readVault(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Sealed{}, false, nil
	}
	if err != nil {
		return Sealed{}, false, err
	}
	header, err := account.ReadHeader(data)
	if err != nil {
		return Sealed{}, true, fmt.Errorf("%s: %w; restore it from your backup", filepath.Join(path, vaultFile), err)
	}
	return Sealed{Path: path, Header: header}, true, nil
}

// Locked reports whether the secrets of the directory are in a vault.
func (d *Dir) Locked() bool {
	_, open := d.keep.(plain)
	return !open
}

// Lock seals the secrets of the directory with a passphrase; keyring notes that it may be looked for in the system's keyring. The
// node must not run. When it fails, or the power does, the secrets are as they were or locked, and Lock, or any other opening with
// the passphrase, completes it. The error is account.ErrWeak, ErrLockedAlready or a *RunningError.
func (d *Dir) Lock(passphrase string, keyring bool) error {
	held, err := d.lock()
	if err != nil {
		return err
	}
	defer held.Close()
	from, ok := d.keep.(plain)
	if !ok || sealedHere(d.path) {
		return ErrLockedAlready
	}
	names, err := from.names()
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	secrets := make(map[string][]byte, len(names))
	for _, name := range names {
		if secrets[name], err = from.read(name); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
	}
	vault, err := account.NewVault(passphrase, account.Header{Node: string(d.id), Keyring: keyring, Cost: d.cost})
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	to := &sealed{dir: d.path, files: from.files}
	if err := to.save(vault, secrets); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	// Nothing is taken away before what is on the disk was opened once.
	if to, err = openSealed(d.path, from.files, passphrase); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	d.keep = to
	return d.tidy()
}

// tidy removes the files of secrets that are in the vault, which a lock or an unlocking that was interrupted left. The caller
// holds the directory's lock.
func (d *Dir) tidy() error {
	s, ok := d.keep.(*sealed)
	if !ok {
		return nil
	}
	left := plain{d.path, s.files}
	names, err := left.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		outside, err := left.read(name)
		if err != nil {
			return err
		}
		if inside, err := s.read(name); err != nil || !bytes.Equal(inside, outside) {
			return fmt.Errorf("%s lies beside the vault, and differs from what is in it: %w; move it away if the vault is right",
				left.file(name), share.ErrCorrupt)
		}
		if err := left.remove(name); err != nil {
			return err
		}
	}
	return removeUnfinished(d.path, s.files)
}

// removeUnfinished removes what a process left that died while it wrote a secret.
func removeUnfinished(dir string, on files) error {
	for _, name := range append(slices.Clone(secretNames), fmt.Sprintf(gridKeyPattern, "*")) {
		unfinished, err := filepath.Glob(filepath.Join(dir, "."+name+"-*"))
		if err != nil {
			return err
		}
		for _, path := range unfinished {
			if err := on.remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unlock puts the secrets of a locked directory, which was opened with its passphrase, back into files of their own. The node
// must not run. Interrupted at any moment, the secrets stay locked or are unlocked.
func (d *Dir) Unlock() error {
	held, err := d.lock()
	if err != nil {
		return err
	}
	defer held.Close()
	from, ok := d.keep.(*sealed)
	if !ok {
		return ErrNotLocked
	}
	if err := d.tidy(); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	to := plain{d.path, from.files}
	for name, data := range from.secrets {
		if err := from.files.write(to.file(name), data); err != nil {
			return fmt.Errorf("unlock: %w", err)
		}
	}
	if err := from.files.remove(filepath.Join(d.path, vaultFile)); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	d.keep = to
	return nil
}

// ChangePassphrase seals the secrets of a locked directory, which was opened with its passphrase, with another one. The node must
// not run. Interrupted at any moment, one of the two passphrases opens it.
func (d *Dir) ChangePassphrase(passphrase string, keyring bool) error {
	held, err := d.lock()
	if err != nil {
		return err
	}
	defer held.Close()
	s, ok := d.keep.(*sealed)
	if !ok {
		return ErrNotLocked
	}
	vault, err := account.NewVault(passphrase, account.Header{Node: string(d.id), Keyring: keyring, Cost: d.cost})
	if err != nil {
		return fmt.Errorf("change passphrase: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.save(vault, s.secrets); err != nil {
		return fmt.Errorf("change passphrase: %w", err)
	}
	return nil
}
