package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"cairn/internal/wholefile"
	"cairn/node/account"
	"cairn/share"
)

// vaultFile holds all secrets of a directory that is locked with a passphrase.
const vaultFile = "vault"

// maxVaultFile is the largest vault that is read, in bytes.
const maxVaultFile = 64 << 10

// ErrLocked says that the secrets of a directory are sealed with a passphrase that nobody gave.
var ErrLocked = errors.New("the keys of this node are locked with a passphrase")

var errMeanwhile = errors.New("another command changed the keys of this node meanwhile; run it again")

// A keeper is where a directory keeps its secrets, each under a name. Reading one that is not there is fs.ErrNotExist.
type keeper interface {
	read(name string) ([]byte, error)
	write(name string, data []byte) error
	remove(name string) error
	names() ([]string, error)
}

// files are what keepers do to the disk. Each either happens or does not, also when the power fails.
type files interface {
	write(path string, data []byte) error
	remove(path string) error
}

// secretNames are those of secrets but the keys of grids, the identity last: a directory with an identity holds a complete node.
var secretNames = []string{accountFile, convergenceFile, homeFile, recordFile, founderFile, phraseFile, bucketFile, identityFile}

type disks struct{}

func (disks) write(path string, data []byte) error { return wholefile.Write(path, data, 0o600) }

func (disks) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// plain keeps each secret in a file of its own.
type plain struct {
	dir string
	files
}

func (p plain) file(name string) string { return filepath.Join(p.dir, name) }

func (p plain) read(name string) ([]byte, error) {
	path := p.file(name)
	if err := CheckPrivate(path); err != nil {
		return nil, err
	}
	return readSmall(path, maxSecretFile)
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %w: too long", path, share.ErrCorrupt)
	}
	return os.ReadFile(path)
}

func (p plain) write(name string, data []byte) error {
	if sealedHere(p.dir) {
		return errMeanwhile
	}
	return p.files.write(p.file(name), data)
}

func (p plain) remove(name string) error { return p.files.remove(p.file(name)) }

// names returns the secrets that are there, the identity last.
func (p plain) names() ([]string, error) {
	founded, err := filepath.Glob(p.file(fmt.Sprintf(gridKeyPattern, "*")))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range founded {
		names = append(names, filepath.Base(path))
	}
	for _, name := range secretNames {
		if _, err := os.Lstat(p.file(name)); err == nil {
			names = append(names, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return names, nil
}

// sealedHere reports whether the secrets of a directory are in a vault.
func sealedHere(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, vaultFile))
	return err == nil
}

// sealed keeps all secrets in one file, which it has open. It is safe for concurrent use.
type sealed struct {
	dir string
	files

	mu      sync.Mutex // guards what follows
	vault   *account.Vault
	secrets map[string][]byte
	data    []byte // the file as it was read or written last
}

// openSealed opens the vault of a directory.
func openSealed(dir string, on files, passphrase string) (*sealed, error) {
	data, err := readVault(dir)
	if err != nil {
		return nil, err
	}
	vault, secrets, err := account.OpenVault(data, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &sealed{dir: dir, files: on, vault: vault, secrets: secrets, data: data}, nil
}

func readVault(dir string) ([]byte, error) {
	path := filepath.Join(dir, vaultFile)
	if err := CheckPrivate(path); err != nil {
		return nil, err
	}
	return readSmall(path, maxVaultFile)
}

func (s *sealed) read(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.secrets[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return bytes.Clone(data), nil
}

func (s *sealed) write(name string, data []byte) error {
	return s.change(func(secrets map[string][]byte) { secrets[name] = bytes.Clone(data) })
}

func (s *sealed) remove(name string) error {
	return s.change(func(secrets map[string][]byte) { delete(secrets, name) })
}

func (s *sealed) change(edit func(map[string][]byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := maps.Clone(s.secrets)
	edit(secrets)
	return s.save(s.vault, secrets)
}

// save replaces the file. The caller holds the mutex.
func (s *sealed) save(vault *account.Vault, secrets map[string][]byte) error {
	if now, err := readVault(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if !bytes.Equal(now, s.data) {
		return errMeanwhile
	}
	data, err := vault.Seal(secrets)
	if err != nil {
		return err
	}
	if err := s.files.write(filepath.Join(s.dir, vaultFile), data); err != nil {
		return err
	}
	s.vault, s.secrets, s.data = vault, secrets, data
	return nil
}

func (s *sealed) names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.secrets)), nil
}

// shut stands for a vault whose passphrase nobody gave.
type shut struct{}

func (shut) read(string) ([]byte, error) { return nil, ErrLocked }
func (shut) write(string, []byte) error  { return ErrLocked }
func (shut) remove(string) error         { return ErrLocked }
func (shut) names() ([]string, error)    { return nil, ErrLocked }
