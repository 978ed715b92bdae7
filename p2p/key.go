package p2p

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"cairn/internal/wholefile"
	"cairn/share"
)

const maxKeyFile = 4 << 10

// LoadOrCreateKey returns the Ed25519 identity key kept in the file at path, and makes a new one, readable by its owner
// only, when there is no such file. A file that is not a key is an error and is left alone.
func LoadOrCreateKey(path string) (crypto.PrivKey, error) {
	data, err := readBounded(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	key, err := ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("identity key %s: %w", path, err)
	}
	return key, nil
}

// ParseKey reads an identity key from the bytes of its file.
func ParseKey(data []byte) (crypto.PrivKey, error) {
	key, err := crypto.UnmarshalPrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%w: not a private key", share.ErrCorrupt)
	}
	return key, nil
}

func createKey(path string) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make identity key: %w", err)
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make identity key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("write identity key: %w", err)
	}
	if err := wholefile.Write(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("write identity key: %w", err)
	}
	return key, nil
}

// IDOf returns the server id that a key gives its node.
func IDOf(key crypto.PrivKey) (share.ServerID, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("server id: %w", err)
	}
	return serverID(id), nil
}

func serverID(id peer.ID) share.ServerID { return share.ServerID(id.String()) }

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d", path, share.ErrTooLarge, info.Size(), limit)
	}
	return os.ReadFile(path)
}
