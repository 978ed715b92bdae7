package node

import (
	"errors"
	"fmt"
	"io/fs"

	"cairn/share/keys"
)

const (
	homeFile   = "home" // the secret that writes the person's root directory
	homePrefix = "cairn-home:"
)

// RootKey returns the write key of the person's root directory, which paths call home:. It follows from the recovery phrase; where
// there is none, on nodes of earlier versions, a random one is made. The directory itself comes to be when something is first
// put into it.
func (d *Dir) RootKey() (keys.WriteKey, error) {
	raw, err := d.readSecret(homeFile, homePrefix, keys.Size)
	if errors.Is(err, fs.ErrNotExist) {
		key := keys.NewWriteKey()
		return key, d.writeSecret(homeFile, homePrefix, key[:])
	}
	if err != nil {
		return keys.WriteKey{}, fmt.Errorf("root directory: %w", err)
	}
	return keys.WriteKey(raw), nil
}
