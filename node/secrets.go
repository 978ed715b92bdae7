package node

import (
	"crypto/ed25519"
	"encoding/base32"
	"fmt"
	"os"
	"strings"

	"cairn/internal/wholefile"
	"cairn/share"
	"cairn/share/keys"
)

// Secrets are files of one line: a prefix that says what it is, and the bytes in base32.
const (
	convergencePrefix = "cairn-convergence:"
	gridKeyPrefix     = "cairn-grid-key:"
	maxSecretFile     = 4 << 10
)

var text32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newConvergence() string {
	secret := keys.NewConvergenceSecret()
	return convergencePrefix + text32.EncodeToString(secret[:])
}

func readConvergence(path string) (keys.ConvergenceSecret, error) {
	raw, err := readSecret(path, convergencePrefix, len(keys.ConvergenceSecret{}))
	if err != nil {
		return keys.ConvergenceSecret{}, fmt.Errorf("convergence secret: %w", err)
	}
	return keys.ConvergenceSecret(raw), nil
}

func writeGridKey(path string, key ed25519.PrivateKey) error {
	return writeSecret(path, gridKeyPrefix+text32.EncodeToString(key.Seed()))
}

func readGridKey(path string) (ed25519.PrivateKey, error) {
	seed, err := readSecret(path, gridKeyPrefix, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("grid key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeSecret writes one line that only the owner can read. It replaces the file in one step.
func writeSecret(path, line string) error {
	return wholefile.Write(path, []byte(line+"\n"), 0o600)
}

// readSecret returns the bytes of a secret. Errors never contain any of it.
func readSecret(path, prefix string, size int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSecretFile {
		return nil, fmt.Errorf("%s: %w: too long", path, share.ErrCorrupt)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, ok := strings.CutPrefix(strings.TrimSuffix(string(data), "\n"), prefix)
	raw, err := text32.DecodeString(body)
	if !ok || err != nil || len(raw) != size {
		return nil, fmt.Errorf("%s: %w: want a line that starts with %s; restore it from your backup", path, share.ErrCorrupt, prefix)
	}
	return raw, nil
}
