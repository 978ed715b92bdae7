// Package inbox is what one member leaves for another on the grid: notes with capabilities, which only the two can find and
// only the receiver can read.
//
// For every ordered pair of members there is a box, a mutable file whose write key follows from a secret that the two accounts
// share. The sender writes all its open notes to one receiver into it, signed by its account and sealed with HPKE to the key on the
// receiver's card. Nobody needs to be up at the same time, and a sender fills nothing but its own boxes. The package is pure: it
// makes and reads the bytes. docs/formats.md, "Inboxes", is the specification.
package inbox

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"cairn/introducer"
	"cairn/share"
	"cairn/share/capability"
)

// Limits of what a sender may leave for one receiver.
const (
	MaxNotes   = 64
	MaxName    = 255  // bytes of a note's name
	MaxMessage = 1000 // bytes of a note's message
	// MaxBox is the longest box, MaxCard the longest card, in bytes.
	MaxBox  = 192 << 10
	MaxCard = 4 << 10
)

const (
	version = 1
	// signContext separates the signature of a box from every other use of an account's key.
	signContext = "cairn/v1/inbox\x00"
	// sealInfo binds what is sealed to its use and to the grid.
	sealInfo = "cairn/v1/inbox/seal\x00"
)

// NoteLen is the length of a note's id in bytes.
const NoteLen = 16

// A Note hands one capability to the receiver.
type Note struct {
	// ID is random and stays when the note is changed.
	ID         [NoteLen]byte
	Capability capability.Capability
	// Name is how the sender calls it, Message what the sender says about it. Both are the sender's choice: valid UTF-8, and
	// nothing else is certain.
	Name, Message string
	Sent          time.Time // by the sender's clock, in whole seconds
	Expires       time.Time // when the offer ends; zero is never
}

// Expired reports whether the offer has ended.
func (n Note) Expired(now time.Time) bool { return !n.Expires.IsZero() && !n.Expires.After(now) }

func (n Note) validate() error {
	switch {
	case n.ID == [NoteLen]byte{}:
		return errors.New("a note has no id")
	case n.Capability.Authority() < capability.AuthorityRead:
		return errors.New("a note's capability does not read")
	case n.Name == "" || len(n.Name) > MaxName || !utf8.ValidString(n.Name):
		return fmt.Errorf("a name of %d bytes: want 1 to %d of UTF-8", len(n.Name), MaxName)
	case len(n.Message) > MaxMessage || !utf8.ValidString(n.Message):
		return fmt.Errorf("a message of %d bytes: want at most %d of UTF-8", len(n.Message), MaxMessage)
	}
	return nil
}

// A Pair says who writes a box for whom, in which grid.
type Pair struct {
	Grid     ed25519.PublicKey
	From, To introducer.AccountKey
}

type wireBody struct {
	Version int        `cbor:"1,keyasint"`
	Grid    []byte     `cbor:"2,keyasint"`
	From    []byte     `cbor:"3,keyasint"`
	To      []byte     `cbor:"4,keyasint"`
	Notes   []wireNote `cbor:"5,keyasint,omitempty"`
}

type wireNote struct {
	ID         []byte `cbor:"1,keyasint"`
	Capability string `cbor:"2,keyasint"`
	Name       string `cbor:"3,keyasint"`
	Message    string `cbor:"4,keyasint,omitempty"`
	Sent       int64  `cbor:"5,keyasint"`
	Expires    int64  `cbor:"6,keyasint,omitempty"`
}

type wireSigned struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

type wireBox struct {
	Version int    `cbor:"1,keyasint"`
	Digest  []byte `cbor:"2,keyasint"` // of what is sealed, so that the sender sees whether it is what it would write
	Sealed  []byte `cbor:"3,keyasint"`
}

// Sign returns what a box is to hold, signed by the sender. The same notes give the same bytes. It returns share.ErrTooLarge,
// wrapped, for too many notes.
func Sign(sender introducer.Account, p Pair, notes []Note) ([]byte, error) {
	if sender.Key() != p.From {
		return nil, errors.New("inbox: the sender's account is another one")
	}
	if len(notes) > MaxNotes {
		return nil, fmt.Errorf("inbox: %d notes to one member: want at most %d: %w", len(notes), MaxNotes, share.ErrTooLarge)
	}
	body := wireBody{Version: version, Grid: p.Grid, From: p.From[:], To: p.To[:]}
	for _, n := range notes {
		if err := n.validate(); err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
		body.Notes = append(body.Notes, wireNote{
			ID: n.ID[:], Capability: n.Capability.Text(), Name: n.Name, Message: n.Message, Sent: unixOf(n.Sent), Expires: unixOf(n.Expires),
		})
	}
	data := encode(body)
	key := ed25519.NewKeyFromSeed(sender.Seed())
	return encode(wireSigned{Body: data, Signature: ed25519.Sign(key, append([]byte(signContext), data...))}), nil
}

// Seal returns the box for what Sign returned, which only the holder of the card's secret opens.
func Seal(card Card, p Pair, signed []byte) ([]byte, error) {
	sealed, err := hpke.Seal(card.key, kdf(), aead(), p.info(), signed)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	digest := sha256.Sum256(signed)
	box := encode(wireBox{Version: version, Digest: digest[:], Sealed: sealed})
	if len(box) > MaxBox {
		return nil, fmt.Errorf("inbox: %d bytes for one member: want at most %d: %w", len(box), MaxBox, share.ErrTooLarge)
	}
	return box, nil
}

// Holds reports whether a box holds what Sign returned. Only the sender and the receiver can find the box, so nobody else is told.
func Holds(box, signed []byte) bool {
	w, err := parseBox(box)
	digest := sha256.Sum256(signed)
	return err == nil && bytes.Equal(w.Digest, digest[:])
}

func parseBox(box []byte) (wireBox, error) {
	var w wireBox
	if len(box) > MaxBox {
		return w, fmt.Errorf("inbox: %d bytes: %w", len(box), share.ErrTooLarge)
	}
	if err := decode(box, &w); err != nil {
		return w, err
	}
	if w.Version != version {
		return w, fmt.Errorf("inbox: %w %d", share.ErrVersion, w.Version)
	}
	return w, nil
}

// Open returns the notes of a box. Whatever was not signed by this sender for this receiver in this grid is refused with
// share.ErrCorrupt, wrapped; the other errors are share.ErrVersion and share.ErrTooLarge.
func Open(receiver introducer.Account, p Pair, box []byte) ([]Note, error) {
	w, err := parseBox(box)
	if err != nil {
		return nil, err
	}
	key, err := secretOf(receiver)
	if err != nil {
		return nil, err
	}
	signed, err := hpke.Open(key, kdf(), aead(), p.info(), w.Sealed)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w: it is not sealed to this account", share.ErrCorrupt)
	}
	var s wireSigned
	if err := decode(signed, &s); err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(signed); !bytes.Equal(w.Digest, digest[:]) {
		return nil, fmt.Errorf("inbox: %w: another digest", share.ErrCorrupt)
	}
	if len(s.Signature) != ed25519.SignatureSize || !ed25519.Verify(p.From[:], append([]byte(signContext), s.Body...), s.Signature) {
		return nil, fmt.Errorf("inbox: %w: the sender has not signed it", share.ErrCorrupt)
	}
	return p.notes(s.Body)
}

// notes reads what the sender signed.
func (p Pair) notes(data []byte) ([]Note, error) {
	var body wireBody
	if err := decode(data, &body); err != nil {
		return nil, err
	}
	switch {
	case body.Version != version:
		return nil, fmt.Errorf("inbox: %w %d", share.ErrVersion, body.Version)
	case !bytes.Equal(body.Grid, p.Grid) || !bytes.Equal(body.From, p.From[:]) || !bytes.Equal(body.To, p.To[:]):
		return nil, fmt.Errorf("inbox: %w: it was signed for somebody else", share.ErrCorrupt)
	case len(body.Notes) > MaxNotes:
		return nil, fmt.Errorf("inbox: %d notes: %w", len(body.Notes), share.ErrTooLarge)
	}
	notes, seen := make([]Note, 0, len(body.Notes)), map[[NoteLen]byte]bool{}
	for _, w := range body.Notes {
		n, err := w.note()
		if err == nil && seen[n.ID] {
			err = errors.New("two notes have one id")
		}
		if err != nil {
			return nil, fmt.Errorf("inbox: %w: %v", share.ErrCorrupt, err)
		}
		seen[n.ID] = true
		notes = append(notes, n)
	}
	return notes, nil
}

func (w wireNote) note() (Note, error) {
	if len(w.ID) != NoteLen {
		return Note{}, fmt.Errorf("an id of %d bytes", len(w.ID))
	}
	c, err := capability.Parse(w.Capability)
	if err != nil {
		return Note{}, err
	}
	n := Note{ID: [NoteLen]byte(w.ID), Capability: c, Name: w.Name, Message: w.Message, Sent: timeOf(w.Sent), Expires: timeOf(w.Expires)}
	return n, n.validate()
}

// info is what a box's seal is bound to.
func (p Pair) info() []byte {
	info := append([]byte(sealInfo), p.Grid...)
	return append(append(info, p.From[:]...), p.To[:]...)
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
