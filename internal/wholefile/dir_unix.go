//go:build unix

package wholefile

import (
	"errors"
	"os"
)

// syncDir makes a name in the directory survive a crash.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
