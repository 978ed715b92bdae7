// Package recovery lets a person back into a private grid who has nothing left but the account's secret.
//
// Whoever proves to a member, any of them, to hold the key of an account that belongs to the grid gets the grid, its roster and
// members to meet, and names the new node (docs/protocol.md, "recover/1"). A Server answers on each member, Recover asks.
package recovery

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"cairn/introducer"
	"cairn/share"
)

// Protocol is the name under which p2p.Host.HandleStranger serves recovery.
const Protocol = "recover/1"

const (
	nonceSize = 32
	// proofContext separates an account's signature here from every other use of its key.
	proofContext = "cairn/v1/recover\x00"
	maxSmall     = 4 << 10
	maxAnswer    = 512 << 10
	// maxStatements is how much of the roster an answer carries; the rest comes with the first exchange.
	maxStatements = 384 << 10
)

// Errors of this package, beside those of package share. Both wrap share.ErrDenied.
var (
	// ErrUnknown says that the member knows nobody with this account.
	ErrUnknown = fmt.Errorf("the member that was asked knows no member with this account: %w", share.ErrDenied)
	// ErrOtherGrid says that the member belongs to another grid than the one that is looked for.
	ErrOtherGrid = fmt.Errorf("the member that was asked belongs to another grid: %w", share.ErrDenied)
)

// A RefusedError says why an account that the member knows is not let in.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return "not let in: " + e.Text }

// Unwrap returns share.ErrDenied.
func (e *RefusedError) Unwrap() error { return share.ErrDenied }

// hail opens an exchange, and the member answers with one of its own.
type hail struct {
	Nonce []byte `cbor:"1,keyasint"`
}

func (h hail) validate() error {
	if len(h.Nonce) != nonceSize {
		return fmt.Errorf("%w: a nonce of %d bytes", share.ErrCorrupt, len(h.Nonce))
	}
	return nil
}

// claim says who it is.
type claim struct {
	Account   []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// verify returns the account that signed what this exchange wants signed.
func (c claim) verify(signed []byte) (introducer.AccountKey, error) {
	var account introducer.AccountKey
	if len(c.Account) != len(account) || !ed25519.Verify(c.Account, signed, c.Signature) {
		return account, errors.New("the account did not sign the claim")
	}
	copy(account[:], c.Account)
	return account, nil
}

// The verdicts on a claim, and on a device statement.
const (
	verdictKnown    = 1
	verdictUnknown  = 2
	verdictRefused  = 3
	verdictBusy     = 4
	verdictAdmitted = 5
)

// answer is what whoever proved to hold the account's key gets.
type answer struct {
	Verdict    int      `cbor:"1,keyasint"`
	Text       string   `cbor:"2,keyasint,omitempty"` // why it is refused
	Grid       string   `cbor:"3,keyasint,omitempty"` // a grid address: the descriptor, and where to find members
	Statements [][]byte `cbor:"4,keyasint,omitempty"`
}

// naming carries the device statement of the new node.
type naming struct {
	Device []byte `cbor:"1,keyasint"`
}

// signed returns what the account's key signs: nonces and ids of both sides are in it, so that a signature is good for one
// exchange between two peers.
func signed(claimantNonce, memberNonce []byte, claimant, member share.ServerID) []byte {
	h := sha256.New()
	for _, part := range [][]byte{claimantNonce, memberNonce, []byte(claimant), []byte(member)} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write(part)
	}
	return h.Sum([]byte(proofContext))
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return nonce
}
