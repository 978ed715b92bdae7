package introducer

import (
	"errors"
	"time"
)

// A Revocation ends the membership of an account for good: its key cannot become a member again while whoever signed
// the revocation keeps the authority.
type Revocation struct {
	Account AccountKey
	// Reason is for people; it may be empty.
	Reason string
	Issued time.Time
}

type wireRevocation struct {
	Version int    `cbor:"1,keyasint"`
	Grid    []byte `cbor:"2,keyasint"`
	Issuer  []byte `cbor:"3,keyasint,omitempty"`
	Account []byte `cbor:"4,keyasint"`
	Reason  string `cbor:"5,keyasint,omitempty"`
	Issued  int64  `cbor:"8,keyasint"`
}

func (r Revocation) validate(issuer AccountKey) error {
	if r.Account.IsZero() {
		return errors.New("no account")
	}
	if r.Account == issuer {
		return errors.New("an account cannot revoke itself")
	}
	if err := ValidReason(r.Reason); err != nil {
		return err
	}
	return validTimes(r.Issued, time.Time{})
}

func (r Revocation) encoded(grid, issuer []byte) []byte {
	return encode(wireRevocation{
		Version: statementVersion, Grid: grid, Issuer: issuer, Account: r.Account[:], Reason: r.Reason, Issued: unixOf(r.Issued),
	})
}

func (s *Statement) decodeRevocation() error {
	w, err := body(s, func(w *wireRevocation) int { return w.Version })
	if err != nil {
		return err
	}
	account, err := accountOf(w.Account)
	if err != nil {
		return err
	}
	issuer, err := issuerOf(w.Issuer)
	if err != nil {
		return err
	}
	s.Issuer, s.subject = issuer, account
	s.Revocation = &Revocation{Account: account, Reason: w.Reason, Issued: timeOf(w.Issued)}
	return errors.Join(s.setGrid(w.Grid), s.Revocation.validate(issuer))
}
