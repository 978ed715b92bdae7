package introducer

import (
	"errors"
	"fmt"
	"time"
)

// MaxQuota is the largest quota, in bytes.
const MaxQuota = 1 << 60

// A Grant makes a person's account a member.
type Grant struct {
	Account  AccountKey
	Nickname string
	// Introducer lets the account sign grants, revocations and settings of its own.
	Introducer bool
	// Quota is how many bytes of shares the member may have stored; 0 leaves it to the grid's policy.
	Quota  int64
	Issued time.Time
	// Expires is when the membership ends unless a later grant renews it; zero is never.
	Expires time.Time
	// Seq orders the grants of one issuer for one account: the highest counts.
	Seq uint64
}

type wireGrant struct {
	Version    int    `cbor:"1,keyasint"`
	Grid       []byte `cbor:"2,keyasint"`
	Issuer     []byte `cbor:"3,keyasint,omitempty"`
	Account    []byte `cbor:"4,keyasint"`
	Nickname   string `cbor:"5,keyasint"`
	Introducer bool   `cbor:"6,keyasint,omitempty"`
	Quota      int64  `cbor:"7,keyasint,omitempty"`
	Issued     int64  `cbor:"8,keyasint"`
	Expires    int64  `cbor:"9,keyasint,omitempty"`
	Seq        uint64 `cbor:"10,keyasint"`
}

func (g Grant) validate(issuer AccountKey) error {
	switch {
	case g.Account.IsZero():
		return errors.New("no account")
	case g.Account == issuer:
		return errors.New("an account cannot vouch for itself")
	case g.Quota < 0 || g.Quota > MaxQuota:
		return fmt.Errorf("quota %d: want 0 to %d bytes", g.Quota, int64(MaxQuota))
	case g.Seq == 0:
		return errors.New("the sequence number is 0")
	}
	if err := ValidNickname(g.Nickname); err != nil {
		return err
	}
	return validTimes(g.Issued, g.Expires)
}

func (g Grant) encoded(grid, issuer []byte) []byte {
	return encode(wireGrant{
		Version: statementVersion, Grid: grid, Issuer: issuer, Account: g.Account[:], Nickname: g.Nickname,
		Introducer: g.Introducer, Quota: g.Quota, Issued: unixOf(g.Issued), Expires: unixOf(g.Expires), Seq: g.Seq,
	})
}

func (s *Statement) decodeGrant() error {
	w, err := body(s, func(w *wireGrant) int { return w.Version })
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
	s.Grant = &Grant{
		Account: account, Nickname: w.Nickname, Introducer: w.Introducer, Quota: w.Quota,
		Issued: timeOf(w.Issued), Expires: timeOf(w.Expires), Seq: w.Seq,
	}
	return errors.Join(s.setGrid(w.Grid), s.Grant.validate(issuer))
}
