package introducer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"cairn/share"
)

// MaxStatement is the longest statement, in bytes.
const MaxStatement = 1 << 10

// statementVersion is the version of the statements' format.
const statementVersion = 1

// A Kind says what a statement states.
type Kind uint8

// The kinds of statements.
const (
	KindGrant Kind = iota + 1
	KindDevice
	KindRevocation
	KindSettings
	KindContact
)

// String returns the kind in a word.
func (k Kind) String() string {
	switch k {
	case KindGrant:
		return "grant"
	case KindDevice:
		return "device"
	case KindRevocation:
		return "revocation"
	case KindSettings:
		return "settings"
	case KindContact:
		return "contact"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// context separates the signatures of each kind from every other use of a key.
func (k Kind) context() []byte { return []byte("cairn/v1/" + k.String() + "\x00") }

// nodeContext is what a node signs a device statement with, so that its signature is never the account's.
const nodeContext = "cairn/v1/device node\x00"

// A Statement is one signed statement about a grid: exactly one of Grant, Device, Revocation and Settings is set. It is
// immutable.
type Statement struct {
	Kind Kind
	// Issuer signed it: an account, or the grid's key when zero. The issuer of a device is its account.
	Issuer     AccountKey
	Grant      *Grant
	Device     *Device
	Revocation *Revocation
	Settings   *Settings
	Contact    *Contact

	grid          [ed25519.PublicKeySize]byte
	subject       [32]byte // account or node key that it is about; zero for settings
	data, body    []byte
	signature     []byte
	nodeSignature []byte
	digest        share.Digest
}

// wireStatement carries the body that was signed.
type wireStatement struct {
	Kind          uint8  `cbor:"1,keyasint"`
	Body          []byte `cbor:"2,keyasint"`
	Signature     []byte `cbor:"3,keyasint"`
	NodeSignature []byte `cbor:"4,keyasint,omitempty"`
}

// ParseStatement reads a statement about this grid and verifies its signatures. Whether its issuer has the authority is
// the roster's to say. It accepts one form of each statement. Errors wrap share.ErrCorrupt for what is malformed or
// forged, share.ErrDenied for another grid's statement, share.ErrTooLarge and share.ErrVersion.
func ParseStatement(grid Descriptor, data []byte) (Statement, error) {
	s, err := parseStatement(grid, data)
	if err == nil {
		err = s.verify()
	}
	if err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	return *s, nil
}

// Digest returns the SHA-256 digest of the statement.
func (s Statement) Digest() share.Digest { return s.digest }

// Bytes returns the statement as it is stored and sent. The caller does not change them.
func (s Statement) Bytes() []byte { return s.data }

// parseStatement reads a statement without verifying its signatures.
func parseStatement(grid Descriptor, data []byte) (*Statement, error) {
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("%d bytes: want at most %d: %w", len(data), MaxStatement, share.ErrTooLarge)
	}
	var w wireStatement
	if err := decoder.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("%w: %v", share.ErrCorrupt, err)
	}
	s := &Statement{
		Kind: Kind(w.Kind), data: bytes.Clone(data), body: w.Body, signature: w.Signature, nodeSignature: w.NodeSignature,
		digest: sha256.Sum256(data),
	}
	if err := s.decode(); err != nil {
		return nil, err
	}
	if !bytes.Equal(encode(w), data) {
		return nil, fmt.Errorf("%s: not in canonical form: %w", s.Kind, share.ErrCorrupt)
	}
	if s.grid != grid.key {
		return nil, fmt.Errorf("%s: it is about another grid: %w", s.Kind, share.ErrDenied)
	}
	if s.Issuer == AccountKey(s.grid) || s.subject == s.grid {
		return nil, fmt.Errorf("%s: the grid's key is no account: %w", s.Kind, share.ErrCorrupt)
	}
	return s, nil
}

// decode reads the body by its kind.
func (s *Statement) decode() error {
	var err error
	switch s.Kind {
	case KindGrant:
		err = s.decodeGrant()
	case KindDevice:
		err = s.decodeDevice()
	case KindRevocation:
		err = s.decodeRevocation()
	case KindSettings:
		err = s.decodeSettings()
	case KindContact:
		err = s.decodeContact()
	default:
		return fmt.Errorf("%s: %w", s.Kind, share.ErrVersion)
	}
	if err != nil && !errors.Is(err, share.ErrVersion) {
		err = fmt.Errorf("%w: %w", share.ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	if (s.nodeSignature != nil) != (s.Kind == KindDevice && !s.Device.Removed) {
		return fmt.Errorf("%s: a node's signature where none belongs, or none where one does: %w", s.Kind, share.ErrCorrupt)
	}
	return nil
}

// body reads the body of a statement into the wire form of its kind, strictly.
func body[W any](s *Statement, version func(*W) int) (W, error) {
	var w W
	if err := decoder.Unmarshal(s.body, &w); err != nil {
		return w, err
	}
	if v := version(&w); v != statementVersion {
		return w, fmt.Errorf("%w %d", share.ErrVersion, v)
	}
	if !bytes.Equal(encode(w), s.body) {
		return w, errors.New("not in canonical form")
	}
	return w, nil
}

// verify checks the signatures.
func (s *Statement) verify() error {
	key := s.Issuer[:]
	if s.Issuer.IsZero() {
		key = s.grid[:]
	}
	if !verify(key, s.Kind.context(), s.body, s.signature) {
		return fmt.Errorf("%s: the signature does not match: %w", s.Kind, share.ErrCorrupt)
	}
	if s.nodeSignature != nil && !verify(s.subject[:], []byte(nodeContext), s.body, s.nodeSignature) {
		return fmt.Errorf("%s: the node's signature does not match: %w", s.Kind, share.ErrCorrupt)
	}
	return nil
}

func verify(key, context, body, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, append(context, body...), signature)
}

// issued returns when the statement says that it was made.
func (s *Statement) issued() time.Time {
	switch s.Kind {
	case KindGrant:
		return s.Grant.Issued
	case KindDevice:
		return s.Device.Issued
	case KindRevocation:
		return s.Revocation.Issued
	case KindSettings:
		return s.Settings.Issued
	case KindContact:
		return s.Contact.Issued
	}
	return time.Time{}
}

// expires returns when the statement stops to count, zero for never.
func (s *Statement) expires() time.Time {
	switch s.Kind {
	case KindGrant:
		return s.Grant.Expires
	case KindDevice:
		return s.Device.Expires
	case KindRevocation, KindSettings, KindContact:
	}
	return time.Time{}
}

func (s *Statement) seq() uint64 {
	switch s.Kind {
	case KindGrant:
		return s.Grant.Seq
	case KindDevice:
		return s.Device.Seq
	case KindSettings:
		return s.Settings.Seq
	case KindContact:
		return s.Contact.Seq
	case KindRevocation:
	}
	return 0
}

// A slot holds at most one statement: what one issuer says about one subject.
type slot struct {
	kind    Kind
	issuer  AccountKey
	subject [32]byte
}

func (s *Statement) slot() slot { return slot{s.Kind, s.Issuer, s.subject} }

// supersedes reports whether s takes the place of another statement of its slot. It is a strict order of all statements
// of a slot, so the last one does not depend on the order of their arrival.
func (s *Statement) supersedes(other *Statement) bool {
	if s.Kind == KindRevocation {
		if a, b := s.issued(), other.issued(); !a.Equal(b) {
			return a.Before(b)
		}
	} else if a, b := s.seq(), other.seq(); a != b {
		return a > b
	}
	return bytes.Compare(s.digest[:], other.digest[:]) < 0
}

// Earliest and latest times that a statement can carry.
const (
	minYear = 2020
	maxYear = 9999
)

func validTimes(issued, expires time.Time) error {
	if year := issued.Year(); year < minYear || year > maxYear {
		return fmt.Errorf("issued in the year %d", year)
	}
	if expires.IsZero() {
		return nil
	}
	if expires.Before(issued) {
		return errors.New("it expires before it is issued")
	}
	if expires.Year() > maxYear {
		return fmt.Errorf("expires in the year %d", expires.Year())
	}
	return nil
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// seconds drops what a statement cannot carry.
func seconds(t time.Time) time.Time { return timeOf(unixOf(t)) }

// accountOf reads a key of a statement; an absent one is the grid's where that is allowed.
func accountOf(data []byte) (AccountKey, error) {
	var k AccountKey
	if len(data) != len(k) {
		return k, fmt.Errorf("a key of %d bytes: want %d", len(data), len(k))
	}
	copy(k[:], data)
	if k.IsZero() {
		return k, errors.New("a key is zero")
	}
	return k, nil
}

func issuerOf(data []byte) (AccountKey, error) {
	if data == nil {
		return AccountKey{}, nil
	}
	return accountOf(data)
}

func issuerBytes(k AccountKey) []byte {
	if k.IsZero() {
		return nil
	}
	return k[:]
}

func (s *Statement) setGrid(data []byte) error {
	if len(data) != len(s.grid) {
		return fmt.Errorf("a grid key of %d bytes: want %d", len(data), len(s.grid))
	}
	copy(s.grid[:], data)
	return nil
}
