package invite

import (
	"crypto/ed25519"
	"fmt"

	"cairn/introducer"
	"cairn/share"
)

// Names under which p2p.Host.HandleStranger serves invitations. Earlier is spoken by versions that know no kit; an Issuer serves
// both, and Redeem tries it where the other side knows nothing else.
const (
	Protocol = "join/2"
	Earlier  = "join/1"
)

// Limits of the messages, in bytes.
const (
	maxSmall  = 4 << 10
	maxAnswer = 512 << 10
	// maxStatements is how much of the roster an answer carries; the rest comes with the first exchange.
	maxStatements = 384 << 10
	maxNickname   = 4 * introducer.MaxName
	// MaxKit is how much of its own a node may give a paired device.
	MaxKit = 1 << 10
)

// hail opens an exchange.
type hail struct {
	ID    []byte `cbor:"1,keyasint"`
	Nonce []byte `cbor:"2,keyasint"`
}

func (h hail) validate() error {
	if len(h.ID) != idSize || len(h.Nonce) != nonceSize {
		return fmt.Errorf("%w: an id of %d and a nonce of %d bytes", share.ErrCorrupt, len(h.ID), len(h.Nonce))
	}
	return nil
}

// ready answers it, whether or not there is such an invitation.
type ready struct {
	Nonce []byte `cbor:"1,keyasint"`
}

// envelope carries a request or a device statement of the joiner.
type envelope struct {
	Sealed []byte `cbor:"1,keyasint"`
}

// request is what the joiner asks for, sealed.
type request struct {
	Kind     Kind   `cbor:"1,keyasint"`
	Account  []byte `cbor:"2,keyasint,omitempty"` // none for a device
	Nickname string `cbor:"3,keyasint,omitempty"` // wished
	Proof    []byte `cbor:"4,keyasint,omitempty"` // the account's signature
}

// verify checks the request against the session and returns the account.
func (r request) verify(s session) (account introducer.AccountKey, err error) {
	if r.Kind == KindDevice {
		if len(r.Account) != 0 || len(r.Proof) != 0 || r.Nickname != "" {
			err = fmt.Errorf("%w: a device with an account of its own", share.ErrCorrupt)
		}
		return account, err
	}
	if r.Kind != KindMember || len(r.Account) != len(account) || len(r.Nickname) > maxNickname {
		return account, fmt.Errorf("%w: a request of %s", share.ErrCorrupt, r.Kind)
	}
	copy(account[:], r.Account)
	if !ed25519.Verify(account[:], s.signed(), r.Proof) {
		return account, fmt.Errorf("%w: the account did not sign the request", share.ErrCorrupt)
	}
	return account, nil
}

// The verdicts on a request, and on a device statement.
const (
	verdictSealed   = 1 // an answer is sealed in it
	verdictNotValid = 2
	verdictBusy     = 3
	verdictAdmitted = 4
	verdictRefused  = 5
)

// reply carries the verdict.
type reply struct {
	Verdict int    `cbor:"1,keyasint"`
	Sealed  []byte `cbor:"2,keyasint,omitempty"`
}

// answer is what whoever proved to hold the invitation gets, sealed.
type answer struct {
	Refusal    Refusal  `cbor:"1,keyasint,omitempty"`
	Text       string   `cbor:"2,keyasint,omitempty"` // about the refusal
	Grid       string   `cbor:"3,keyasint,omitempty"` // a grid address: the descriptor, and where to find members
	Statements [][]byte `cbor:"4,keyasint,omitempty"`
	Seed       []byte   `cbor:"5,keyasint,omitempty"` // of the account, for a device
	Kit        []byte   `cbor:"6,keyasint,omitempty"` // what else the account's devices share, for a device
}

// A Refusal says why somebody who holds a valid invitation is not let in all the same.
type Refusal int

// The refusals.
const (
	RefusalNickname  Refusal = 1 // one is needed, or the wished one is not valid
	RefusalTaken     Refusal = 2 // another member has the nickname
	RefusalRevoked   Refusal = 3 // the account was revoked
	RefusalAuthority Refusal = 4 // the issuer may not, or can not, take in anybody now
	RefusalKind      Refusal = 5 // a device was asked for with an invitation for a person, or the other way round
)

// A RefusedError is a refusal as the joiner gets it. The invitation was not used up.
type RefusedError struct {
	Refusal Refusal
	Text    string
}

func (e *RefusedError) Error() string { return "not let in: " + e.Text }

// Unwrap returns introducer.ErrNicknameTaken where that is the reason, share.ErrDenied otherwise.
func (e *RefusedError) Unwrap() error {
	if e.Refusal == RefusalTaken {
		return introducer.ErrNicknameTaken
	}
	return share.ErrDenied
}
