package introducer

import (
	"errors"
	"fmt"
	"time"

	"cairn/share"
)

// MaxCard is the longest card capability, in bytes.
const MaxCard = 256

// A Contact says where an account keeps its card, a file on the grid with the key to which others seal what is for that
// account alone. The account signs it; the newest counts.
type Contact struct {
	Account AccountKey
	// Card is the text of a capability that reads the card. Everybody who has the roster reads it.
	Card   string
	Issued time.Time
	// Seq orders the statements of one account: the highest counts.
	Seq uint64
}

type wireContact struct {
	Version int    `cbor:"1,keyasint"`
	Grid    []byte `cbor:"2,keyasint"`
	Account []byte `cbor:"4,keyasint"`
	Card    string `cbor:"5,keyasint"`
	Issued  int64  `cbor:"8,keyasint"`
	Seq     uint64 `cbor:"10,keyasint"`
}

func (c Contact) validate() error {
	if c.Account.IsZero() {
		return errors.New("no account")
	}
	if c.Seq == 0 {
		return errors.New("the sequence number is 0")
	}
	if len(c.Card) == 0 || len(c.Card) > MaxCard {
		return fmt.Errorf("a card of %d bytes: want 1 to %d", len(c.Card), MaxCard)
	}
	for _, b := range []byte(c.Card) {
		if b <= ' ' || b > '~' {
			return errors.New("the card is no capability")
		}
	}
	return validTimes(c.Issued, time.Time{})
}

func (c Contact) encoded(grid []byte) []byte {
	return encode(wireContact{Version: statementVersion, Grid: grid, Account: c.Account[:], Card: c.Card, Issued: unixOf(c.Issued), Seq: c.Seq})
}

func (s *Statement) decodeContact() error {
	w, err := body(s, func(w *wireContact) int { return w.Version })
	if err != nil {
		return err
	}
	account, err := accountOf(w.Account)
	if err != nil {
		return err
	}
	s.Issuer = account
	s.Contact = &Contact{Account: account, Card: w.Card, Issued: timeOf(w.Issued), Seq: w.Seq}
	return errors.Join(s.setGrid(w.Grid), s.Contact.validate())
}

// SignContact signs where an account keeps its card. It fills in the account; its time is cut to seconds, and where Seq is 0 it
// is the milliseconds of Issued since 1970.
func SignContact(grid Descriptor, account Account, c Contact) ([]byte, error) {
	if c.Seq == 0 {
		c.Seq = uint64(max(c.Issued.UnixMilli(), 0))
	}
	signer := account.Signer(grid)
	c.Account, c.Issued = signer.issuer, seconds(c.Issued)
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("sign contact: %w", err)
	}
	return signer.sign(KindContact, c.encoded(grid.key[:]), nil)
}

// SetCard signs as of now where an account keeps its card, and adds that. It refuses, wrapping share.ErrDenied, an account that is
// no member.
func (r *Roster) SetCard(account Account, card string, now time.Time) error {
	m := r.at(now).accounts[account.Key()]
	if m == nil || m.State != StateMember {
		return fmt.Errorf("set card: account %s is no member of grid %s: %w", account.Key().Short(), r.grid, share.ErrDenied)
	}
	c := Contact{Card: card, Issued: now, Seq: r.nextSeq(slot{kind: KindContact, issuer: account.Key()}, now)}
	data, err := SignContact(r.grid, account, c)
	if err != nil {
		return err
	}
	return r.added("set card", data)
}
