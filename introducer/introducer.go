// Package introducer knows who belongs to a grid: the grid's key and descriptor, its address, the signed statements that
// make people members and nodes theirs, and the gate that admits nodes to it.
//
// A grid is the Ed25519 key that signed its descriptor. Whoever holds the address of an open grid may join it: the
// address carries the signed descriptor and where to find the first peers (docs/formats.md, "Grid address"). A private
// grid has a Roster: the grid's key vouches for accounts, some of them vouch for others, and each account names its nodes
// (docs/formats.md, "Membership").
package introducer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cairn/share"
)

// MaxName is the longest name of a grid, in bytes.
const MaxName = 64

// signContext separates signatures of descriptors from every other use of a grid's key.
const signContext = "cairn/v1/grid descriptor\x00"

// ErrMalformed says that a text or a file is not a grid address.
var ErrMalformed = errors.New("malformed grid address")

// A Descriptor says what a grid is. It is immutable: the grid's key signed it. The zero Descriptor is no grid.
type Descriptor struct {
	// Name is what people call the grid. It identifies nothing.
	Name string
	// Params are the encoding that the founder chose for the grid's files; zero lets the size of the grid decide.
	Params share.Params
	// Open says that anyone who holds the grid's address may join.
	Open bool
	// Created is when the grid was founded, in whole seconds.
	Created time.Time

	key       [ed25519.PublicKeySize]byte
	signature [ed25519.SignatureSize]byte
}

// Found makes a new grid: a random key that stays with the founder and the descriptor signed with it.
func Found(name string, params share.Params, open bool, now time.Time) (Descriptor, ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Descriptor{}, nil, fmt.Errorf("grid key: %w", err)
	}
	d, err := FoundWith(private, name, params, open, now)
	if err != nil {
		return Descriptor{}, nil, err
	}
	return d, private, nil
}

// FoundWith makes a new grid with this key, which was never the key of another grid.
func FoundWith(key ed25519.PrivateKey, name string, params share.Params, open bool, now time.Time) (Descriptor, error) {
	d := Descriptor{Name: name, Params: params, Open: open, Created: now.UTC().Truncate(time.Second)}
	if err := d.validate(); err != nil {
		return Descriptor{}, err
	}
	copy(d.key[:], key.Public().(ed25519.PublicKey))
	copy(d.signature[:], ed25519.Sign(key, d.signed()))
	return d, nil
}

// ID returns the short id of the grid, 16 hexadecimal digits of the SHA-256 digest of its key. Protocol names carry it.
func (d Descriptor) ID() string {
	sum := sha256.Sum256(d.key[:])
	return hex.EncodeToString(sum[:8])
}

// Key returns the grid's public key, its identity.
func (d Descriptor) Key() ed25519.PublicKey { return ed25519.PublicKey(d.key[:]) }

// Equal reports whether both describe the same grid in the same words.
func (d Descriptor) Equal(other Descriptor) bool { return d == other }

// String returns the name with the short id.
func (d Descriptor) String() string { return fmt.Sprintf("%q (%s)", d.Name, d.ID()) }

// ValidName checks the name of a grid or a node: 1 to MaxName bytes of printable text without spaces around it.
func ValidName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("name has %d bytes: want at most %d", len(name), MaxName)
	case !utf8.ValidString(name):
		return errors.New("name is not valid UTF-8")
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("name %q starts or ends with a space", name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("name %q contains %q, which does not print", name, r)
		}
	}
	return nil
}

func (d Descriptor) validate() error {
	if err := ValidName(d.Name); err != nil {
		return fmt.Errorf("grid: %w", err)
	}
	if !d.Params.IsZero() {
		if err := d.Params.Validate(); err != nil {
			return fmt.Errorf("grid %q: %w", d.Name, err)
		}
	}
	if year := d.Created.Year(); year < 2020 || year > 9999 {
		return fmt.Errorf("grid %q: founded in the year %d", d.Name, year)
	}
	return nil
}

func (d Descriptor) verify() error {
	if err := d.validate(); err != nil {
		return err
	}
	if !ed25519.Verify(d.Key(), d.signed(), d.signature[:]) {
		return errors.New("the signature does not match")
	}
	return nil
}
