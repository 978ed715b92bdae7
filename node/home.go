package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"cairn/share/keys"
)

const (
	homeFile   = "home" // the write key of the person's root directory
	homePrefix = "cairn-home:"
)

// RootKey returns the write key of the person's root directory, which paths call home:. It makes one where there is none
// yet; the directory itself comes to be when something is first put into it.
func (d *Dir) RootKey() (keys.WriteKey, error) {
	path := d.file(homeFile)
	if err := checkPrivate(path); err != nil {
		return keys.WriteKey{}, err
	}
	raw, err := readSecret(path, homePrefix, keys.Size)
	if errors.Is(err, fs.ErrNotExist) {
		key := keys.NewWriteKey()
		return key, d.writeRootKey(key)
	}
	if err != nil {
		return keys.WriteKey{}, fmt.Errorf("root directory: %w", err)
	}
	return keys.WriteKey(raw), nil
}

// writeRootKey makes a write key that of the person's root directory. It refuses to replace another one.
func (d *Dir) writeRootKey(key keys.WriteKey) error {
	path := d.file(homeFile)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("root directory: %s: %w", path, fs.ErrExist)
	}
	if err := writeSecret(path, homePrefix+text32.EncodeToString(key[:])); err != nil {
		return fmt.Errorf("root directory: %w", err)
	}
	return nil
}
