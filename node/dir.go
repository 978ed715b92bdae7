package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/node/account"
	"cairn/node/config"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/keys"
)

// Names in a node's directory, beside those of secrets.
const (
	gridFile   = "grid"     // the address of the grid that the node belongs to
	rosterFile = "roster"   // who belongs to a private grid
	bookFile   = "peers"    // the peers that were met
	stateFile  = "state.db" // what the node remembers of the grid
	lockFile   = "node.lock"
)

// Errors about a node's directory.
var (
	// ErrNoNode says that the directory holds no node.
	ErrNoNode = errors.New("there is no node in this directory")
	// ErrNodeExists says that the directory holds a node already.
	ErrNodeExists = errors.New("there is a node in this directory already")
	// ErrNoGrid says that the node belongs to no grid.
	ErrNoGrid = errors.New("the node belongs to no grid")
	// ErrHasGrid says that the node belongs to a grid already.
	ErrHasGrid = errors.New("the node belongs to a grid already")
	// ErrExposed says that others on this machine can read a secret.
	ErrExposed = errors.New("others can read this secret")
)

// A Dir is the directory of a node: its identity, secrets, configuration, grid and shares.
type Dir struct {
	path     string
	keep     keeper
	identity crypto.PrivKey // nil where the secrets are locked, as is the secret
	id       share.ServerID
	secret   keys.ConvergenceSecret
	cost     account.Cost // of trying a passphrase; the default where zero
}

// Init makes a node in the directory: an identity, an account with a new recovery phrase, and a configuration file. The phrase
// stays in the directory until it was shown (Dir.Phrase). The directory may exist; it returns ErrNodeExists, and changes
// nothing, when it holds a node.
func Init(path string, c config.Config) (*Dir, error) {
	phrase := account.NewPhrase()
	return makeDir(path, c, phrase, func(d *Dir) error { return d.keep.write(phraseFile, []byte(phrase.Reveal()+"\n")) })
}

// InitFrom makes a node like Init whose account follows from a phrase that somebody has.
func InitFrom(path string, c config.Config, phrase account.Phrase) (*Dir, error) {
	return makeDir(path, c, phrase, func(d *Dir) error { return d.keep.remove(phraseFile) })
}

func makeDir(path string, c config.Config, phrase account.Phrase, keep func(*Dir) error) (*Dir, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	if Exists(path) {
		return nil, fmt.Errorf("make node in %s: %w", path, ErrNodeExists)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make node: %w", err)
	}
	d := &Dir{path: path, keep: plain{path, disks{}}}
	if err := errors.Join(d.writeSecrets(phrase.Secrets()), keep(d)); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	if err := config.Write(filepath.Join(path, config.FileName), config.Render(c)); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	// The identity comes last: a directory with an identity holds a complete node.
	if _, err := p2p.LoadOrCreateKey(filepath.Join(path, identityFile)); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	return OpenDir(path)
}

// Unmake removes the files that InitFrom made, and the directory where nothing else is in it: a node of a phrase that turned out to be
// another account's. The node must belong to no grid, else the error is ErrHasGrid, and must keep its keys in files.
func (d *Dir) Unmake() error {
	if HasGrid(d.path) {
		return fmt.Errorf("remove node in %s: %w", d.path, ErrHasGrid)
	}
	if d.Locked() {
		return fmt.Errorf("remove node in %s: %w", d.path, ErrLocked)
	}
	// The identity goes first: without it the directory holds no node, and the next one can be made in it.
	for _, name := range []string{identityFile, accountFile, homeFile, convergenceFile, recordFile, founderFile, config.FileName} {
		if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove node in %s: %w", d.path, err)
		}
	}
	_ = os.Remove(d.path) // it stays where something else is in it
	return nil
}

// Exists reports whether the directory holds a node.
func Exists(path string) bool {
	_, err := os.Lstat(filepath.Join(path, identityFile))
	return err == nil || sealedHere(path)
}

// HasGrid reports whether the node in the directory belongs to a grid.
func HasGrid(path string) bool {
	_, err := os.Lstat(filepath.Join(path, gridFile))
	return err == nil
}

// OpenDir reads the identity and the secrets of the node in the directory. It returns ErrNoNode where there is none, ErrExposed
// when others can read a secret, and ErrLocked when the secrets are locked.
func OpenDir(path string) (*Dir, error) { return OpenDirWith(path, nil) }

// OpenDirWith is OpenDir for a directory that may be locked: it asks for the passphrase then. The error wraps
// account.ErrPassphrase where that is the wrong one.
func OpenDirWith(path string, unlock Unlock) (*Dir, error) {
	d, err := openKeeper(path, unlock)
	if err != nil {
		return nil, err
	}
	data, err := d.keep.read(identityFile)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	if d.identity, err = p2p.ParseKey(data); err != nil {
		return nil, fmt.Errorf("identity key %s: %w", d.file(identityFile), err)
	}
	if d.id, err = p2p.IDOf(d.identity); err != nil {
		return nil, err
	}
	if d.secret, err = d.readConvergence(); err != nil {
		return nil, err
	}
	return d, nil
}

// Look opens the directory without its secrets, where these are locked: it tells the node's id and grid, and everything else is
// ErrLocked. A directory that is not locked is opened as by OpenDir.
func Look(path string) (*Dir, error) {
	d, err := OpenDir(path)
	if !errors.Is(err, ErrLocked) {
		return d, err
	}
	sealed, _, err := Locked(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, keep: shut{}, id: share.ServerID(sealed.Node)}, nil
}

// openKeeper finds where the secrets are.
func openKeeper(path string, unlock Unlock) (*Dir, error) {
	if !Exists(path) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoNode)
	}
	header, locked, err := Locked(path)
	if err != nil {
		return nil, err
	}
	if !locked {
		keep := plain{path, disks{}}
		names, err := keep.names()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, name := range names {
			if err := CheckPrivate(keep.file(name)); err != nil {
				return nil, err
			}
		}
		return &Dir{path: path, keep: keep}, nil
	}
	if unlock == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	}
	passphrase, err := unlock(header)
	if err != nil {
		return nil, err
	}
	keep, err := openSealed(path, disks{}, passphrase)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, keep: keep}, nil
}

// Path returns the path of the directory.
func (d *Dir) Path() string { return d.path }

// ID returns the id of the node.
func (d *Dir) ID() share.ServerID { return d.id }

// ConfigPath returns the path of the configuration file.
func (d *Dir) ConfigPath() string { return d.file(config.FileName) }

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// storage returns where the shares are kept.
func (d *Dir) storage(c config.Config) string {
	if filepath.IsAbs(c.Storage.Path) {
		return c.Storage.Path
	}
	return d.file(c.Storage.Path)
}

// CheckPrivate returns ErrExposed, with what to do, when others than the owner may read or change the file. A file that is not there, a
// pipe and a device are not exposed.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && info.Mode().IsRegular() && enforcesModes {
		return fmt.Errorf("%s has mode %04o: %w; run: chmod 600 %s", path, mode, ErrExposed, path)
	}
	return nil
}
