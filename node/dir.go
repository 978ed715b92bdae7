package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"

	"cairn/node/config"
	"cairn/p2p"
	"cairn/share"
	"cairn/share/keys"
)

// Names in a node's directory.
const (
	identityFile    = "identity"    // the node's private key
	convergenceFile = "convergence" // the secret that makes equal files equal
	gridFile        = "grid"        // the address of the grid that the node belongs to
	rosterFile      = "roster"      // who belongs to a private grid
	gridKeyPattern  = "grid-%s.key" // the private key of a grid that the node founded, by the grid's id
	bookFile        = "peers"       // the peers that were met
	lockFile        = "node.lock"
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
	identity crypto.PrivKey
	id       share.ServerID
	secret   keys.ConvergenceSecret
}

// Init makes a node in the directory: an identity, a convergence secret and a configuration file. The directory may
// exist; it returns ErrNodeExists, and changes nothing, when it holds a node.
func Init(path string, c config.Config) (*Dir, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	if Exists(path) {
		return nil, fmt.Errorf("make node in %s: %w", path, ErrNodeExists)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make node: %w", err)
	}
	if err := writeSecret(filepath.Join(path, convergenceFile), newConvergence()); err != nil {
		return nil, fmt.Errorf("make node in %s: %w", path, err)
	}
	if _, err := (&Dir{path: path}).RootKey(); err != nil {
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

// Exists reports whether the directory holds a node.
func Exists(path string) bool {
	_, err := os.Lstat(filepath.Join(path, identityFile))
	return err == nil
}

// OpenDir reads the identity and the secrets of the node in the directory. It returns ErrNoNode where there is none, and
// ErrExposed when others can read a secret.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{path: path}
	if !Exists(path) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoNode)
	}
	founded, err := filepath.Glob(d.file(fmt.Sprintf(gridKeyPattern, "*")))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, secret := range append(founded, d.file(identityFile), d.file(convergenceFile), d.file(accountFile), d.file(homeFile)) {
		if err := checkPrivate(secret); err != nil {
			return nil, err
		}
	}
	if d.identity, err = p2p.LoadOrCreateKey(d.file(identityFile)); err != nil {
		return nil, err
	}
	if d.id, err = p2p.IDOf(d.identity); err != nil {
		return nil, err
	}
	if d.secret, err = readConvergence(d.file(convergenceFile)); err != nil {
		return nil, err
	}
	return d, nil
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

// checkPrivate returns ErrExposed when others than the owner may read or change the file. A file that is not there is
// not exposed.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && enforcesModes {
		return fmt.Errorf("%s has mode %04o: %w; run: chmod 600 %s", path, mode, ErrExposed, path)
	}
	return nil
}
