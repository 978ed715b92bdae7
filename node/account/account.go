// Package account makes, words and keeps the few secrets that a person cannot do without.
//
// A Phrase of 24 words (BIP39) is the one thing to write down; every secret of the account follows from it. A Vault seals the
// secrets of a node's directory with a passphrase. A Sheet is what to print. Secrets print as labels, never as their bytes.
package account

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"time"

	"cairn/introducer"
	"cairn/share/keys"
)

// Info strings of HKDF, one for each use.
const (
	infoKey         = "cairn/v1/account/key"
	infoConvergence = "cairn/v1/account/convergence"
	infoRoot        = "cairn/v1/account/root"
	infoRecord      = "cairn/v1/account/record"
	infoFounder     = "cairn/v1/account/founder"
	infoGrid        = "cairn/v1/account/grid"
)

const redacted = "[secret]"

// A RecordKey seals what the account keeps for itself outside of its directories.
type RecordKey [32]byte

func (RecordKey) String() string       { return redacted }
func (RecordKey) GoString() string     { return redacted }
func (RecordKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// A FounderKey makes the keys of the grids that the account founds, so that they come back with the phrase. Paired devices do
// not get it: a grid's key decides who belongs to the grid.
type FounderKey [32]byte

func (FounderKey) String() string       { return redacted }
func (FounderKey) GoString() string     { return redacted }
func (FounderKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// IsZero reports whether there is none.
func (k FounderKey) IsZero() bool { return k == FounderKey{} }

// GridKey returns the key of the grid of this name that is founded in this second. The name and the time stand in the grid's
// descriptor, so that whoever has the phrase and the descriptor finds the key again.
func (k FounderKey) GridKey(name string, founded time.Time) ed25519.PrivateKey {
	salt := append(binary.BigEndian.AppendUint64(nil, uint64(founded.Unix())), name...)
	return ed25519.NewKeyFromSeed(derive(k[:], salt, infoGrid, ed25519.SeedSize))
}

// Secrets are what follows from a phrase. They print as a label.
type Secrets struct {
	// Account is the person.
	Account introducer.Account
	// Convergence makes equal files of the account equal shares.
	Convergence keys.ConvergenceSecret
	// Root writes the account's root directory.
	Root    keys.WriteKey
	Record  RecordKey
	Founder FounderKey
}

func (Secrets) String() string       { return redacted }
func (Secrets) GoString() string     { return redacted }
func (Secrets) LogValue() slog.Value { return slog.StringValue(redacted) }

// Secrets derives the account's secrets. They depend on the words alone: docs/formats.md, "Recovery phrase".
func (p Phrase) Secrets() Secrets {
	seed, err := introducer.AccountFromSeed(derive(p.entropy[:], nil, infoKey, ed25519.SeedSize))
	if err != nil {
		panic("account: " + err.Error()) // HKDF gives as many bytes as it was asked for, and zeros with probability 2^-256
	}
	return Secrets{
		Account:     seed,
		Convergence: keys.ConvergenceSecret(derive(p.entropy[:], nil, infoConvergence, len(keys.ConvergenceSecret{}))),
		Root:        keys.WriteKey(derive(p.entropy[:], nil, infoRoot, keys.Size)),
		Record:      RecordKey(derive(p.entropy[:], nil, infoRecord, len(RecordKey{}))),
		Founder:     FounderKey(derive(p.entropy[:], nil, infoFounder, len(FounderKey{}))),
	}
}

func derive(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic("account: " + err.Error()) // the lengths are constants within HKDF's bounds
	}
	return out
}
