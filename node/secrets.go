package node

import (
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cairn/node/account"
	"cairn/share"
	"cairn/share/keys"
)

// Names of secrets, which are names of files as long as the directory is not locked.
const (
	identityFile    = "identity"    // the node's private key
	convergenceFile = "convergence" // makes equal files equal
	accountFile     = "account"     // the person to whom the node belongs
	recordFile      = "record"      // seals what the account keeps for itself; it is there where the account has a phrase
	founderFile     = "founder"     // makes the keys of grids
	phraseFile      = "phrase"      // the phrase, until it was shown
	gridKeyPattern  = "grid-%s.key" // the private key of a grid that the node founded, by the grid's id
)

// Secrets but the identity and the phrase are one line: a prefix that says what it is, and the bytes in base32.
const (
	convergencePrefix = "cairn-convergence:"
	recordPrefix      = "cairn-record:"
	founderPrefix     = "cairn-founder:"
	gridKeyPrefix     = "cairn-grid-key:"
	maxSecretFile     = 4 << 10
)

var text32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// writeSecret keeps bytes under a name.
func (d *Dir) writeSecret(name, prefix string, data []byte) error {
	if err := d.keep.write(name, []byte(prefix+text32.EncodeToString(data)+"\n")); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readSecret returns the bytes that are kept under a name. Errors never contain any of them.
func (d *Dir) readSecret(name, prefix string, size int) ([]byte, error) {
	data, err := d.keep.read(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	body, ok := strings.CutPrefix(strings.TrimSuffix(string(data), "\n"), prefix)
	raw, err := text32.DecodeString(body)
	if !ok || err != nil || len(raw) != size {
		return nil, fmt.Errorf("%s: %w: want a line that starts with %s; restore it from your backup", d.file(name), share.ErrCorrupt, prefix)
	}
	return raw, nil
}

func (d *Dir) readConvergence() (keys.ConvergenceSecret, error) {
	raw, err := d.readSecret(convergenceFile, convergencePrefix, len(keys.ConvergenceSecret{}))
	if err != nil {
		return keys.ConvergenceSecret{}, err
	}
	return keys.ConvergenceSecret(raw), nil
}

func (d *Dir) writeGridKey(grid string, key ed25519.PrivateKey) error {
	return d.writeSecret(fmt.Sprintf(gridKeyPattern, grid), gridKeyPrefix, key.Seed())
}

func (d *Dir) readGridKey(grid string) (ed25519.PrivateKey, error) {
	seed, err := d.readSecret(fmt.Sprintf(gridKeyPattern, grid), gridKeyPrefix, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// RecordKey returns the key that seals what the account keeps for itself, fs.ErrNotExist where the account has no phrase.
func (d *Dir) RecordKey() (account.RecordKey, error) {
	raw, err := d.readSecret(recordFile, recordPrefix, len(account.RecordKey{}))
	if err != nil {
		return account.RecordKey{}, err
	}
	return account.RecordKey(raw), nil
}

// HasPhrase reports whether the account's secrets follow from a recovery phrase. Those of nodes of earlier versions do not.
func (d *Dir) HasPhrase() (bool, error) {
	_, err := d.RecordKey()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// founder returns the key that makes grid keys, zero on a paired device and on nodes of earlier versions.
func (d *Dir) founder() (account.FounderKey, error) {
	raw, err := d.readSecret(founderFile, founderPrefix, len(account.FounderKey{}))
	if errors.Is(err, fs.ErrNotExist) {
		return account.FounderKey{}, nil
	}
	if err != nil {
		return account.FounderKey{}, err
	}
	return account.FounderKey(raw), nil
}

// writeSecrets keeps all secrets of an account. A founder key of zeros is none.
func (d *Dir) writeSecrets(s account.Secrets) error {
	if err := d.writeSecret(convergenceFile, convergencePrefix, s.Convergence[:]); err != nil {
		return err
	}
	if err := d.writeSecret(homeFile, homePrefix, s.Root[:]); err != nil {
		return err
	}
	if err := d.writeFounder(s.Founder); err != nil {
		return err
	}
	if err := d.writeAccount(s.Account); err != nil {
		return err
	}
	d.secret = s.Convergence
	return d.writeSecret(recordFile, recordPrefix, s.Record[:])
}

func (d *Dir) writeFounder(key account.FounderKey) error {
	if key.IsZero() {
		return d.keep.remove(founderFile)
	}
	return d.writeSecret(founderFile, founderPrefix, key[:])
}

// Phrase returns the recovery phrase of a node that was made with a new one which nobody has seen yet. It is fs.ErrNotExist
// afterwards: the phrase is nowhere then but with the person.
func (d *Dir) Phrase() (account.Phrase, error) {
	data, err := d.keep.read(phraseFile)
	if err != nil {
		return account.Phrase{}, fmt.Errorf("recovery phrase: %w", err)
	}
	p, err := account.ParsePhrase(string(data))
	if err != nil {
		return account.Phrase{}, fmt.Errorf("recovery phrase: %s: %w: %w", d.file(phraseFile), share.ErrCorrupt, err)
	}
	return p, nil
}

// ForgetPhrase removes the phrase, which was shown.
func (d *Dir) ForgetPhrase() error {
	if err := d.keep.remove(phraseFile); err != nil {
		return fmt.Errorf("recovery phrase: %w", err)
	}
	return nil
}
